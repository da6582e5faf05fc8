// The status page in a headless Chromium, as somebody on a site sees it: a gateway behind hubsim, unmodified device SDKs that send, the
// hub cut off and back, router killed. Nothing but what the page shows is looked at. CHROMIUM = the browser, if it is not in its usual
// place. HOLDFAST_SCREENSHOTS = a folder for pictures; none are taken without.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const puppeteer = require('puppeteer-core');
const { Message } = require('azure-iot-device');
const { runHub } = require('./hubsim_harness');
const { runBehind } = require('./edge_gateway');
const { waitFor, exited } = require('./harness');

const NOT_RUN = 77; // ctest's word for skipped
const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const PHONE = { width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 1 };
const DESK = { width: 1180, height: 1000, deviceScaleFactor: 1 };
const TWIN_VALUE = 'swordfish4711';
const OUTAGE_MESSAGES = 2_000; // of each device
const DRAIN_RATE = 200; // messages a second, for the drain to be seen

const chromium = BROWSERS.find((file) => file && fs.existsSync(file));
if (!chromium) {
  console.log('NOT RUN: the status page in a browser: Chromium is not installed (Debian package chromium)');
  process.exit(NOT_RUN);
}

// `holdfast web` beside a gateway.
class StatusPage {
  constructor(gateway) {
    this.runDir = gateway.info.run_dir;
    this.port = 0;
  }

  async start() {
    this.process = childProcess.spawn(path.join(process.env.HOLDFAST_BIN_DIR, 'holdfast'),
      ['--json', '--run-dir', this.runDir, 'web', '--listen', `127.0.0.1:${this.port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    const line = await new Promise((resolve, reject) => {
      readline.createInterface({ input: this.process.stdout }).once('line', resolve);
      this.process.once('exit', (code) => reject(new Error(`holdfast web ended with code ${code}`)));
    });
    const said = JSON.parse(line);
    this.port = said.port;
    this.url = said.url;
    this.token = fs.readFileSync(said.token_file, 'utf8').trim();
  }

  async stop() {
    this.process.removeAllListeners('exit');
    this.process.kill('SIGTERM');
    await waitFor('holdfast web ends', () => exited(this.process));
    assert.strictEqual(this.process.exitCode, 0);
  }
}

// A tab, and what went wrong in it.
class Tab {
  constructor(page, origin) {
    Object.assign(this, { page, errors: [], foreign: [] });
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('console', (message) => { if (['error', 'warn'].includes(message.type())) this.errors.push(message.text()); });
    page.on('request', (request) => { if (new URL(request.url()).origin !== origin) this.foreign.push(request.url()); });
  }

  text(selector) {
    return this.page.$eval(selector, (node) => node.innerText.trim());
  }

  // Waits until the text of `selector` is as wanted; gives it.
  async shows(selector, wanted) {
    let text = '';
    const matches = wanted instanceof RegExp ? (t) => wanted.test(t) : wanted;
    await waitFor(`${selector} shows ${wanted}`, async () => {
      text = await this.text(selector).catch(() => '');
      return matches(text);
    }).catch((error) => { throw new Error(`${error.message}; it shows "${text}"`); });
    return text;
  }

  // Cells of a table by the heading of their column, a row each.
  rows(selector) {
    return this.page.$$eval(`${selector} tbody tr`, (rows) => rows.map((row) => Object.fromEntries(
      [...row.cells].map((cell) => [cell.dataset.label, cell.innerText.trim()]))));
  }

  // Nothing stands out at the side.
  async expectNoOverflow(what) {
    const found = await this.page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const wide = [...document.querySelectorAll('body *')].filter((n) => n.getBoundingClientRect().right > width + 1 && !n.closest('thead'));
      return { scroll: document.documentElement.scrollWidth, width, wide: wide.slice(0, 5).map((n) => `${n.tagName} ${n.className} ${n.textContent.slice(0, 40)}`) };
    });
    assert(found.scroll <= found.width, `${what}: ${found.scroll} px in a window of ${found.width}: ${found.wide}`);
    assert.deepStrictEqual(found.wide, [], what);
  }

  // Text can be read: contrast of 4.5 : 1 (WCAG 2.1, 1.4.3). Gives the colour of the ground.
  async expectContrast(what) {
    const found = await this.page.evaluate(() => {
      const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
      const luminance = (colour) => {
        const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const groundOf = (node) => {
        const colour = getComputedStyle(node).backgroundColor;
        return channels(colour)[3] === 0 && node.parentElement ? groundOf(node.parentElement) : colour;
      };
      const weak = [];
      for (const node of document.querySelectorAll('h1 span, h2, p, th, td, li span, time, figcaption, button:enabled')) {
        if (node.innerText === '') continue;
        const [light, dark] = [luminance(getComputedStyle(node).color), luminance(groundOf(node))].sort((a, b) => b - a);
        if ((light + 0.05) / (dark + 0.05) < 4.5) weak.push(`${node.tagName} ${node.className}: ${node.innerText.slice(0, 40)}`);
      }
      return { weak, ground: luminance(getComputedStyle(document.body).backgroundColor) };
    });
    assert.deepStrictEqual(found.weak, [], what);
    return found.ground;
  }

  async picture(name) {
    if (!process.env.HOLDFAST_SCREENSHOTS) return;
    await this.page.evaluate(() => window.scrollTo(0, 0));
    await this.page.screenshot({ path: path.join(process.env.HOLDFAST_SCREENSHOTS, name) });
  }

  colours(scheme) {
    return this.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  }
}

// Sends `count` messages, as fast as they are acknowledged.
async function send(client, count) {
  for (let sent = 0; sent < count; sent += 50) {
    await Promise.all(Array.from({ length: Math.min(50, count - sent) }, () => client.sendEvent(new Message('{"t": 21.5}'))));
  }
}

// Pictures should show some history: a steady load for a while. Nothing is waited for by time when none are taken.
async function ifPictures(clients, seconds) {
  const end = Date.now() + (process.env.HOLDFAST_SCREENSHOTS ? seconds * 1000 : 0);
  while (Date.now() < end) {
    await Promise.all(clients.map((c) => send(c, 5 + Math.floor(Math.random() * 20))));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function showsAllIsWell(tab) {
  await tab.shows('#tile-link', /online/);
  await tab.shows('#live', /^live$/);
  await tab.shows('#tile-clients [data-is="value"]', /^2$/);
  await tab.shows('#clients table', /one[\s\S]*two/);
  assert.deepStrictEqual((await tab.rows('#clients table')).map((r) => [r.Client, r.TLS]), [['one', 'yes'], ['two', 'yes']]);
  assert.deepStrictEqual((await tab.rows('#services table')).map((r) => [r.Service, r.Health]),
    ['store', 'auth', 'router', 'uplink'].map((name) => [name, 'serving']));
  await tab.shows('#routes table', (text) => text.includes('$upstream'));
  const [route] = await tab.rows('#routes table');
  assert(Number(route.Matched) >= 20, `messages that took the route: ${route.Matched}`);
  const certificates = await tab.rows('#certificates table');
  assert(certificates.some((c) => c.Certificate === 'device CA' && / d /.test(c.Left)), JSON.stringify(certificates));
  assert(certificates.some((c) => c.Certificate.startsWith('server certificate')), JSON.stringify(certificates));
  await tab.shows('#tile-ready', /yes|no/);
  await tab.shows('#twins table', /one/);
  const twin = (await tab.rows('#twins table')).find((r) => r.Client === 'one');
  assert(Number(twin['Reported version']) >= 1, JSON.stringify(twin));
  assert(!(await tab.page.content()).includes(TWIN_VALUE), 'values of twins are not shown');
  console.log('online: link, clients, routes with counts, certificates, services and twins (no values) are shown');
}

async function showsTheOutage(hub, tab, clients) {
  await ifPictures(clients, 60);
  await hub.control('POST', '/faults', { kind: 'refuse' });
  await tab.shows('#tile-link [data-is="value"]', /offline|connecting/);
  for (const part of [1, 2]) {
    await Promise.all(clients.map((c) => send(c, OUTAGE_MESSAGES / 2)));
    const waiting = (clients.length * part * OUTAGE_MESSAGES) / 2;
    await tab.shows('#tile-backlog [data-is="value"]', (text) => Number(text.replaceAll(',', '')) >= waiting);
    await tab.shows('#tile-backlog', /not draining: the link is down/);
  }
  await ifPictures(clients, 20);
  await tab.shows('#events ol', /link to the hub is down/);
  await tab.shows('#chart-link .caption', /down 1 time/);
  await tab.shows('#queues table', /upstream[\s\S]*not draining: the link is down/);
  assert.match(await tab.page.$eval('#chart-backlog svg', (svg) => svg.getAttribute('aria-label')), /waiting [\d,]+ now/);
  console.log('hub cut off: the link is down, what waits grows, and the page says that it does not drain, and why');
}

async function showsTheDrain(hub, tab, clients) {
  const { id } = await hub.control('POST', '/faults', { kind: 'throttle', rate: DRAIN_RATE, disconnect_after_ms: 600_000 });
  for (const fault of await hub.control('GET', '/faults')) {
    if (fault.id !== id) await hub.control('DELETE', `/faults/${fault.id}`);
  }
  await tab.shows('#tile-link', /online/);
  const said = await tab.shows('#tile-backlog', /empty in (about|a few)/);
  await tab.shows('#events ol', /link to the hub is up/);
  await ifPictures(clients, 20);
  await tab.page.setViewport(DESK);
  await tab.colours('light');
  const light = await tab.expectContrast('light');
  await tab.expectNoOverflow('on a desk');
  await tab.picture('status-page-light.png');
  await tab.colours('dark');
  const dark = await tab.expectContrast('dark');
  assert(light > 0.7 && dark < 0.1, `grounds: ${light}, ${dark}`);
  await tab.page.setViewport(PHONE);
  await tab.shows('#chart-link .caption', /known/);
  await tab.expectNoOverflow('on a phone');
  await tab.picture('status-page-dark.png');
  await hub.control('DELETE', '/faults');
  await tab.shows('#tile-backlog', /nothing waits|up to date/);
  console.log(`hub back: "${said.replaceAll('\n', ' ')}", then nothing waits; light and dark can be read, a phone shows all of it`);
}

async function showsARestart(gateway, tab, clients) {
  await gateway.crash('router');
  await Promise.all(clients.map((c) => send(c, 1))); // The SDK connects when it has something to send.
  await tab.shows('#events ol', /router (was restarted|is there again)/);
  await tab.shows('#tile-clients [data-is="value"]', /^2$/);
  console.log('router killed: the page tells it, and the clients are back');
}

// What needs no gateway: here the browser itself logs errors, of the 401 and of the server that is away.
async function loginAndStale(web, tab) {
  await tab.page.click('#logout');
  await tab.shows('#login', /Token/);
  assert.strictEqual(await tab.page.$eval('#main', (n) => n.hidden), true);
  await tab.page.type('#token', 'wrong');
  await tab.page.keyboard.press('Enter');
  await tab.shows('#login-error', /not the token/);
  await tab.page.type('#token', web.token);
  await tab.page.keyboard.press('Enter');
  await tab.shows('#tile-link', /online/);
  await tab.shows('#live', /^live$/);
  await web.stop();
  await tab.shows('#live', /no news for/);
  await web.start();
  await tab.shows('#login', /Token/);
  console.log('a wrong token is refused; a server that is away is told; its restart ends the session');
}

runHub((hub) => runBehind(hub, ['one', 'two'], async (gateway, children) => {
  await gateway.start();
  await waitFor('the first sync', () => gateway.identities().includes('two'));
  const clients = await Promise.all(children.map((child) => gateway.connect(child)));
  const twin = await clients[0].getTwin();
  await new Promise((resolve, reject) => {
    twin.properties.reported.update({ word: TWIN_VALUE }, (error) => (error ? reject(error) : resolve()));
  });
  await Promise.all(clients.map((c) => send(c, 10)));
  const web = new StatusPage(gateway);
  await web.start();
  const browser = await puppeteer.launch({
    executablePath: chromium,
    // Nothing has a name here, as on a site without internet. No sandbox: tests may run as root.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
  try {
    const page = await browser.newPage();
    await page.setViewport(DESK);
    const tab = new Tab(page, new URL(web.url).origin);
    await page.goto(`${web.url}#token=${web.token}`);
    await showsAllIsWell(tab);
    assert(!page.url().includes(web.token), 'the token does not stay in the address');
    await showsTheOutage(hub, tab, clients);
    await showsTheDrain(hub, tab, clients);
    await showsARestart(gateway, tab, clients);
    assert.deepStrictEqual(tab.errors, [], 'the console');
    assert.deepStrictEqual(tab.foreign, [], 'requests to elsewhere');
    await loginAndStale(web, tab);
  } finally {
    await browser.close();
    if (!exited(web.process)) web.process.kill('SIGKILL');
  }
  await Promise.all(clients.map((c) => c.close()));
}));
