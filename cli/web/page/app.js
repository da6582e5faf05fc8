// The page: logs in, follows the stream, hands what it says to those who show it.

import { LineChart, LinkStrip, inRange } from './charts.js';
import { duration, number } from './format.js';
import { startLists } from './lists.js';
import { showEvents, showSections } from './sections.js';

const FINE_MAX = 3_600;
// After so many ticks a new snapshot brings the minutes that have become of the oldest ones.
const TICKS_MAX = 3_000;
const EVENTS_MAX = 200;
const RANGE_MIN_MS = 60_000;
const AGAIN_MS = 2_000;
const STALE_MS = 5_000;

const byId = (id) => document.getElementById(id);

const state = { sections: {}, history: { fine: [], coarse: [] }, events: [], wall: 0 };
let rangeMs = 900_000;
let lastTick = null; // by this browser's clock
let ticks = 0; // since the last snapshot
let stream = null;
let charts = null;
let askLists = null;

// Columns to samples.
function samplesOf(columns) {
  const names = Object.keys(columns);
  return columns.at.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
}

// Of a server that has just started no empty hours are drawn.
function drawCharts() {
  if (charts === null || state.sample === undefined) return;
  const { at } = state.sample;
  const samples = inRange(state.history, at - rangeMs);
  const known = samples.length > 0 ? at - samples[0].at : 0;
  const shown = Math.min(rangeMs, Math.max(RANGE_MIN_MS, known));
  for (const chart of charts) chart.draw(samples, shown, at);
}

function showLive() {
  const silent = lastTick === null ? Infinity : performance.now() - lastTick;
  const isStale = silent > STALE_MS;
  byId('live').classList.toggle('stale', isStale);
  byId('live').textContent = !isStale ? 'live' : lastTick === null ? 'connecting…' : `no news for ${duration(silent / 1000)}: this page is old`;
}

function take(data) {
  lastTick = performance.now();
  Object.assign(state, { sample: data.sample, wall: data.wall, drain: data.drain });
  Object.assign(state.sections, data.sections);
  showSections(state, Object.keys(data.sections));
  if (data.events.length > 0) showEvents(state.events);
  drawCharts();
  showLive();
}

function onSnapshot(data) {
  state.history = { fine: samplesOf(data.history.fine), coarse: samplesOf(data.history.coarse) };
  state.events = data.events;
  ticks = 0;
  byId('gateway').textContent = data.facts.gateway;
  document.title = `${data.facts.gateway} · Holdfast`;
  byId('about').textContent = `Holdfast ${data.facts.version}, ${data.facts.run_dir}. Times are the gateway's, in UTC.`;
  take(data);
  showEvents(state.events);
}

function onTick(data) {
  state.history.fine.push(data.sample);
  if (state.history.fine.length > FINE_MAX) state.history.fine.shift();
  state.events = state.events.concat(data.events).slice(-EVENTS_MAX);
  take(data);
  ticks += 1;
  if (ticks >= TICKS_MAX) follow();
}

function follow() {
  if (stream !== null) stream.close();
  stream = new EventSource('/api/stream');
  stream.addEventListener('snapshot', (event) => onSnapshot(JSON.parse(event.data)));
  stream.addEventListener('tick', (event) => onTick(JSON.parse(event.data)));
  stream.addEventListener('error', () => {
    stream.close();
    setTimeout(begin, AGAIN_MS);
  });
}

function showMain() {
  byId('login').hidden = true;
  byId('main').hidden = false;
  byId('logout').hidden = false;
  if (charts === null) {
    charts = [
      new LinkStrip(byId('chart-link')),
      new LineChart(byId('chart-backlog'), [{ name: 'waiting', of: 'backlog', kind: 'one' }], { largest: true, area: true, format: number }),
      new LineChart(byId('chart-rates'), [{ name: 'from clients', of: 'in', kind: 'one' }, { name: 'to the hub', of: 'out', kind: 'two' }]),
      new LineChart(byId('chart-clients'), [{ name: 'connected', of: 'clients', kind: 'one' }], { largest: true, format: number }),
    ];
    askLists = startLists(() => state.wall);
    new ResizeObserver(drawCharts).observe(byId('history'));
  } else {
    askLists();
  }
  follow();
}

function showLogin(error) {
  if (stream !== null) stream.close();
  byId('main').hidden = true;
  byId('logout').hidden = true;
  byId('login').hidden = false;
  byId('login-error').textContent = error;
  byId('live').classList.remove('stale');
  byId('live').textContent = 'not logged in';
  lastTick = null;
}

async function logIn(token) {
  const response = await fetch('/api/login', { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
  if (response.ok) return showMain();
  return showLogin((await response.json()).error);
}

// The token of a link that logs in stands behind '#', which no server is sent; it is taken out of the address at once.
async function begin() {
  const token = new URLSearchParams(window.location.hash.slice(1)).get('token');
  if (token !== null) window.history.replaceState(null, '', window.location.pathname);
  try {
    if (token !== null) return await logIn(token);
    const session = await (await fetch('/api/session')).json();
    return session.logged_in ? showMain() : showLogin('');
  } catch {
    return setTimeout(begin, AGAIN_MS); // The server is away.
  }
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = byId('token');
  const token = field.value.trim();
  field.value = '';
  logIn(token).catch(() => showLogin('the server does not answer'));
});
byId('logout').addEventListener('click', async () => {
  await fetch('/api/logout', { method: 'POST' });
  showLogin('');
});
byId('range').addEventListener('click', (event) => {
  const { seconds } = event.target.dataset;
  if (seconds === undefined) return;
  rangeMs = seconds * 1000;
  for (const button of byId('range').children) button.setAttribute('aria-pressed', String(button === event.target));
  drawCharts();
});
window.addEventListener('hashchange', begin);
setInterval(() => { if (!byId('main').hidden) showLive(); }, 1_000);
begin();
