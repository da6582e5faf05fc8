// What the services said, as the page shows it. Text from the gateway is set as text, never as markup.

import { ago, bytes, clock, count, date, drain, duration, number, rate } from './format.js';

const LAST_PRIORITY = 2_000_000_000;
const EXPIRES_SOON_MS = 30 * 86_400_000;
const EXPIRES_NOW_MS = 86_400_000;

export function element(name, text, attributes = {}) {
  const node = document.createElement(name);
  if (text !== null && text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const part = (id, name) => document.querySelector(`#${id} [data-is="${name}"]`);

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function tile(id, severity, value, note) {
  const article = document.getElementById(id);
  article.className = severity;
  setText(part(id, 'value'), value);
  setText(part(id, 'note'), note);
}

// `columns`: ["heading", …], "#heading" for numbers; `rows`: [[cell, …]], a cell is text or { text, severity }.
export function fillTable(table, columns, rows) {
  const head = element('tr');
  const names = columns.map((c) => c.replace('#', ''));
  columns.forEach((c, i) => head.append(element('th', names[i], c.startsWith('#') ? { scope: 'col', class: 'number' } : { scope: 'col' })));
  const body = element('tbody');
  for (const cells of rows) {
    const row = element('tr');
    cells.forEach((cell, i) => {
      const { text, severity } = typeof cell === 'object' && cell !== null ? cell : { text: cell, severity: '' };
      const td = element('td', text, { 'data-label': names[i] });
      if (columns[i].startsWith('#')) td.classList.add('number');
      if (severity) td.classList.add(severity);
      row.append(td);
    });
    body.append(row);
  }
  const thead = element('thead');
  thead.append(head);
  table.replaceChildren(thead, body);
  table.hidden = rows.length === 0;
}

// Why nothing drains.
function hindrance({ link }) {
  if (link === null) return 'uplink is away';
  if (!link.leads) return link.reason || 'no uplink leads';
  if (link.upstream === '') return 'no hub is configured';
  return 'the link is down';
}

function showLink({ link }, wall) {
  if (link === null) return tile('tile-link', 'bad', 'unknown', 'uplink is away');
  if (link.upstream === '' && link.leads) return tile('tile-link', '', 'none', 'no hub is configured; messages are held');
  const severity = { online: 'good', syncing: 'good', suspect: 'warning', connecting: 'warning' }[link.state] || 'bad';
  const since = link.since === null ? '' : ` for ${duration((wall - link.since) / 1000)}`;
  const notes = [`${link.upstream}${link.address && link.address !== link.upstream ? ` (${link.address})` : ''}`];
  if (link.reason) notes.push(link.reason);
  if (link.state === 'offline' && link.next_attempt !== null && link.next_attempt > wall) {
    notes.push(`next attempt in ${duration((link.next_attempt - wall) / 1000 + 1)} at the latest`);
  }
  if (link.stalled) notes.push('connected, but the hub acknowledges nothing');
  return tile('tile-link', link.stalled ? 'bad' : severity, `${link.state}${since}`, notes.join('; '));
}

function showBacklog({ sections, sample, drain: estimate }) {
  const [severity, sentence] = drain(estimate, hindrance(sections));
  const notes = [sentence];
  const oldest = sections.link ? sections.link.oldest_s : null;
  if (oldest !== null && oldest > 2) notes.push(`the oldest waits for ${duration(oldest)}`);
  if (sections.store && sections.store.dead_records > 0) notes.push(`${number(sections.store.dead_records)} set aside`);
  tile('tile-backlog', severity, number(sample.backlog), notes.join('; '));
}

function showTiles(state) {
  const { sections, sample, wall } = state;
  const { clients, store, readiness } = sections;
  showLink(sections, wall);
  showBacklog(state);
  tile('tile-rates', '', `${rate(sample.in)} in, ${rate(sample.out)} out`, clients === null ? 'router is away'
    : `${number(clients.acknowledged)} acknowledged to clients since router started`);
  if (clients === null) tile('tile-clients', 'bad', 'unknown', 'router is away');
  else {
    tile('tile-clients', clients.paused ? 'bad' : '', number(clients.sessions),
      `${clients.identities === null ? 'auth is away' : `of ${number(clients.identities)} that may`}${clients.paused ? '; paused, the store has no room' : ''}`);
  }
  if (store === null) tile('tile-store', 'bad', 'unknown', 'store is away');
  else {
    tile('tile-store', { serving: 'good', full: 'bad' }[store.state] || 'warning', `${bytes(store.bytes)} of ${bytes(store.bytes_max)}`,
      `${store.reason ? `${store.reason}; ` : ''}${bytes(store.disk_free_bytes)} free on the disk${store.encryption_key_id ? '; encrypted' : ''}`);
  }
  tile('tile-ready', readiness.ready ? 'good' : 'warning', readiness.ready ? 'yes' : 'no',
    readiness.ready ? 'the hub may go away now' : count(readiness.missing.length, 'thing is missing, see below', 'things are missing, see below'));
}

function showQueues({ sections }) {
  const { queues } = sections;
  setText(part('queues', 'note'), queues === null ? 'Not known: the store is away.'
    : `${count(queues.total, 'queue')} with ${count(queues.records, 'message')}, ${bytes(queues.bytes)}` +
      `${queues.total > queues.shown.length ? `; those with most in them:` : '.'}`);
  fillTable(document.querySelector('#queues table'), ['Queue', '#Messages', '#Size', '#Oldest', '#In/s', '#Out/s', 'Empty', '#Dropped'],
    queues === null ? [] : queues.shown.map((q) => {
      const [severity, text] = drain(q.drain, q.name === 'upstream' ? hindrance(sections) : 'nobody reads it now');
      return [q.name, number(q.records), bytes(q.bytes), q.oldest_s === null ? '' : duration(q.oldest_s), rate(q.in), rate(q.out),
        { text: q.waiting_appends > 0 ? `${text}; no room, clients wait` : text, severity }, number(q.dropped)];
    }));
}

function showRoutes({ sections: { routes } }) {
  setText(part('routes', 'note'), routes === null ? 'Not known: router is away.'
    : `From ${routes.source}. ${count(routes.unmatched, 'message')} matched no route.${routes.error ? ` The latest settings are not in force: ${routes.error}` : ''}`);
  fillTable(document.querySelector('#routes table'), ['Route', '#Matched', '#Undefined', '#Priority', 'Text'],
    routes === null ? [] : routes.routes.map((r) => [r.name, number(r.matched), number(r.undefined),
      r.priority === LAST_PRIORITY ? 'last' : String(r.priority), r.text]));
}

function showCertificates({ sections: { certificates }, wall }) {
  fillTable(document.querySelector('#certificates table'), ['Certificate', 'From', 'Valid until', '#Left'],
    certificates.map(({ what, from, until }) => {
      const left = until - wall;
      const severity = left < EXPIRES_NOW_MS ? 'bad' : left < EXPIRES_SOON_MS ? 'warning' : '';
      return [what, from, date(until), { text: left <= 0 ? 'expired' : duration(left / 1000), severity }];
    }));
}

function showReadiness({ sections: { readiness } }) {
  setText(part('readiness', 'note'), readiness.ready
    ? `Everybody who is known could go on. Identities are from ${readiness.source || 'their source'}, taken ${date(readiness.synced_at)}.`
    : 'Not ready. What is missing:');
  const list = document.querySelector('#readiness ul');
  list.replaceChildren(...readiness.missing.map((text) => element('li', text)));
}

function showServices({ sections: { services } }) {
  fillTable(document.querySelector('#services table'), ['Service', 'Instance', 'Health', '#Process', 'What to do'],
    services.map((s) => [s.service, s.instance,
      { text: s.health, severity: { serving: 'good', 'not serving': 'warning' }[s.health] || 'bad' }, s.pid > 0 ? String(s.pid) : '', s.detail]));
}

function showTroubles({ sections: { link }, wall }) {
  const troubles = link === null ? [] : link.troubles;
  document.getElementById('troubles').hidden = troubles.length === 0;
  fillTable(document.querySelector('#troubles table'), ['Identity', '#Messages', 'Why', 'Since'],
    troubles.map((t) => [t.module_id ? `${t.device_id}/${t.module_id}` : t.device_id, number(t.messages),
      `${t.reason}${t.holds_line ? '; everybody waits behind it' : ''}`, ago(t.since, wall)]));
}

export function showEvents(events) {
  document.querySelector('#events .empty').hidden = events.length > 0;
  document.querySelector('#events ol').replaceChildren(...events.toReversed().map((e) => {
    const line = element('li');
    const time = element('time', clock(e.wall), { datetime: new Date(e.wall).toISOString(), title: date(e.wall) });
    line.append(time, element('span', e.source, { class: 'from' }), element('span', e.text, { class: `what ${e.severity}` }));
    return line;
  }));
}

// Each by the section that it shows; the tiles at each tick.
const BY_SECTION = {
  queues: showQueues, routes: showRoutes, certificates: showCertificates, readiness: showReadiness, services: showServices, link: showTroubles,
};

// `changed`: names of the sections that did.
export function showSections(state, changed) {
  showTiles(state);
  for (const name of changed) {
    if (BY_SECTION[name]) BY_SECTION[name](state);
  }
}
