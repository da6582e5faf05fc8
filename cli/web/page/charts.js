// The history, drawn as SVG. Samples: { at, link, backlog, in, out, clients }, oldest first; `at` in ms, null where it is not known.

import { duration, number, rate } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 130;
const STRIP = 22;
const MARGIN = { left: 46, right: 10, top: 8, bottom: 20 };
// Room for the label of a time.
const LABEL = 80;
// Two samples further apart than this have nothing between them.
const GAP_MS = 150_000;

function svg(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// The samples from `from` on, the last minutes as they were sampled, what is older a minute each.
export function inRange(history, from) {
  const first = history.fine.length > 0 ? history.fine[0].at : Infinity;
  const older = history.coarse.filter((s) => s.at >= from && s.at + 60_000 <= first);
  return older.concat(history.fine.filter((s) => s.at >= from));
}

// 0, 1, 2, 5, 10, 20, …: the next above.
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

// [{ t, v }] a pixel or two each: of what falls together the largest, or the mean.
function bucketed(samples, name, scale, pixels, largest) {
  const points = [];
  let bucket = null;
  const close = () => {
    if (bucket === null) return;
    points.push({ t: bucket.t, x: bucket.x, v: bucket.count === 0 ? null : largest ? bucket.max : bucket.sum / bucket.count });
  };
  for (const sample of samples) {
    const x = scale(sample.at);
    if (bucket === null || x - bucket.x >= pixels || sample.at - bucket.t > GAP_MS) {
      close();
      if (bucket !== null && sample.at - bucket.t > GAP_MS) points.push({ t: bucket.t, x: bucket.x, v: null });
      bucket = { t: sample.at, x, sum: 0, count: 0, max: 0 };
    }
    bucket.t = sample.at;
    const value = sample[name];
    if (value === null || value === undefined) continue;
    bucket.sum += value;
    bucket.count += 1;
    bucket.max = Math.max(bucket.max, value);
  }
  close();
  return points;
}

// Stretches without a hole.
function stretches(points) {
  const all = [[]];
  for (const point of points) {
    if (point.v === null) all.push([]);
    else all.at(-1).push(point);
  }
  return all.filter((stretch) => stretch.length > 0);
}

function timeTicks(range, now, scale, width) {
  const steps = [15, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600].map((s) => s * 1000);
  const step = steps.find((s) => (range / s) * LABEL <= width) || steps.at(-1);
  const ticks = [];
  for (let back = 0; back <= range; back += step) ticks.push({ x: scale(now - back), text: back === 0 ? 'now' : `−${duration(back / 1000).replace(/ 0 (s|min)$/, '')}` });
  return ticks;
}

function timeAxis(range, now, scale, width, y) {
  return timeTicks(range, now, scale, width).map(({ x, text }) => {
    const anchor = text === 'now' ? 'end' : x < MARGIN.left + LABEL / 2 ? 'start' : 'middle';
    return svg('text', { x, y, 'text-anchor': anchor }, text);
  });
}

class Plot {
  constructor(figure) {
    this.plot = figure.querySelector('.plot');
    this.caption = figure.querySelector('.caption');
    this.title = figure.querySelector('figcaption').textContent.trim();
    this.tip = document.createElement('output');
    this.tip.className = 'tip';
    this.tip.hidden = true;
    this.plot.addEventListener('pointermove', (event) => this.point(event));
    this.plot.addEventListener('pointerdown', (event) => this.point(event));
    this.plot.addEventListener('pointerleave', () => this.leave());
  }

  get width() {
    return Math.max(200, Math.floor(this.plot.clientWidth));
  }

  scale(range, now) {
    const inner = this.width - MARGIN.left - MARGIN.right;
    return (at) => MARGIN.left + inner * (1 - (now - at) / range);
  }

  show(picture, label, caption) {
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', `${this.title}. ${label}`);
    this.plot.replaceChildren(picture, this.tip);
    this.caption.textContent = caption;
    if (this.pointer !== undefined) this.mark();
  }

  point(event) {
    this.pointer = event.clientX - this.plot.getBoundingClientRect().left;
    this.mark();
  }

  leave() {
    this.pointer = undefined;
    this.tip.hidden = true;
    this.plot.querySelectorAll('.mark').forEach((node) => node.remove());
  }

  // Beside the pointer, within the plot.
  say(x, text) {
    this.tip.textContent = text;
    this.tip.hidden = false;
    const left = x + 8 + this.tip.offsetWidth > this.width ? x - 8 - this.tip.offsetWidth : x + 8;
    this.tip.style.left = `${Math.max(0, left)}px`;
  }
}

// Lines over time. `series`: [{ name, of, kind: "one" or "two" }]; `largest`: of samples that share a pixel the largest counts.
export class LineChart extends Plot {
  constructor(figure, series, { largest = false, area = false, format = rate } = {}) {
    super(figure);
    Object.assign(this, { series, largest, area, format });
  }

  draw(samples, range, now) {
    this.now = now;
    const scale = this.scale(range, now);
    const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
    this.lines = this.series.map((s) => ({ ...s, points: bucketed(samples, s.of, scale, 2, this.largest) }));
    const values = this.lines.flatMap((l) => l.points.map((p) => p.v)).filter((v) => v !== null);
    const top = ceiling(values.length > 0 ? Math.max(...values) : 0);
    this.y = (v) => MARGIN.top + inner * (1 - v / top);
    const right = this.width - MARGIN.right;
    const picture = svg('svg', { viewBox: `0 0 ${this.width} ${HEIGHT}`, height: HEIGHT });
    for (const v of [0, top / 2, top]) {
      picture.append(svg('line', { class: v === 0 ? 'axis' : 'grid', x1: MARGIN.left, x2: right, y1: this.y(v), y2: this.y(v) }),
        svg('text', { x: MARGIN.left - 6, y: this.y(v) + 4, 'text-anchor': 'end' }, rate(v)));
    }
    picture.append(...timeAxis(range, now, scale, this.width, HEIGHT - 4));
    for (const line of this.lines) {
      for (const stretch of stretches(line.points)) {
        const path = stretch.map((p, i) => `${i === 0 ? 'M' : 'L'}${p.x.toFixed(1)} ${this.y(p.v).toFixed(1)}`).join('');
        if (this.area) picture.append(svg('path', { class: 'area', d: `${path}V${this.y(0)}H${stretch[0].x.toFixed(1)}Z` }));
        picture.append(svg('path', { class: `line ${line.kind}`, d: path }));
        if (stretch.length === 1) picture.append(svg('circle', { class: `dot ${line.kind}`, cx: stretch[0].x, cy: this.y(stretch[0].v), r: 2 }));
      }
    }
    const text = this.lines.map((l) => this.summary(l)).join('; ');
    this.show(picture, text, text);
  }

  summary({ name, points }) {
    const known = points.filter((p) => p.v !== null).map((p) => p.v);
    if (known.length === 0) return `${name} not known`;
    const now = points.at(-1).v;
    return `${name} ${now === null ? 'not known' : this.format(now)} now, at most ${this.format(Math.max(...known))}`;
  }

  mark() {
    this.plot.querySelectorAll('.mark').forEach((node) => node.remove());
    const nearest = this.lines.map((l) => l.points.reduce((best, p) => (
      best === null || Math.abs(p.x - this.pointer) < Math.abs(best.x - this.pointer) ? p : best), null));
    if (nearest[0] === null) return;
    const { x, t } = nearest[0];
    const picture = this.plot.querySelector('svg');
    picture.append(svg('line', { class: 'cross mark', x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    const parts = nearest.map((p, i) => {
      if (p === null || p.v === null) return `${this.series[i].name} not known`;
      picture.append(svg('circle', { class: `dot mark ${this.series[i].kind}`, cx: p.x, cy: this.y(p.v), r: 3 }));
      return `${this.series[i].name} ${this.format(p.v)}`;
    });
    this.say(x, `${duration((this.now - t) / 1000)} ago: ${parts.join(', ')}`);
  }
}

const UP = new Set(['online', 'syncing', 'suspect']);

// [{ link, from, to }]
function linkStretches(samples, now) {
  const all = [];
  samples.forEach((sample, i) => {
    const next = i + 1 < samples.length ? samples[i + 1].at : now;
    const to = next - sample.at > GAP_MS ? sample.at : next;
    const last = all.at(-1);
    if (last && last.link === sample.link && last.to === sample.at) last.to = to;
    else all.push({ link: sample.link, from: sample.at, to });
  });
  return all;
}

// The states of the link as a strip, and in words.
export class LinkStrip extends Plot {
  draw(samples, range, now) {
    this.now = now;
    this.stretches = linkStretches(samples, now);
    const scale = this.scale(range, now);
    this.scaled = scale;
    const picture = svg('svg', { viewBox: `0 0 ${this.width} ${STRIP + MARGIN.bottom}`, height: STRIP + MARGIN.bottom });
    for (const { link, from, to } of this.stretches) {
      const x = scale(from);
      picture.append(svg('rect', { class: `link-${link}`, x, y: 2, height: STRIP - 4, width: Math.max(1, scale(to) - x) }));
    }
    picture.append(...timeAxis(range, now, scale, this.width, STRIP + MARGIN.bottom - 4));
    const text = this.words();
    this.show(picture, text, text);
  }

  words() {
    const known = this.stretches.filter((s) => s.link !== 'away');
    const total = known.reduce((sum, s) => sum + s.to - s.from, 0);
    if (total === 0) return 'Nothing is known of this time.';
    const up = known.filter((s) => UP.has(s.link)).reduce((sum, s) => sum + s.to - s.from, 0);
    // Offline and connecting alternate within one outage.
    const outages = [];
    for (const s of this.stretches) {
      if (UP.has(s.link) || s.link === 'away') outages.push(0);
      else if (outages.length === 0) outages.push(s.to - s.from);
      else outages[outages.length - 1] += s.to - s.from;
    }
    const long = outages.filter((ms) => ms > 0);
    const share = Math.floor((up / total) * 1000) / 10;
    if (long.length === 0) return `Up all of the ${duration(total / 1000)} that are known.`;
    return `Up ${share} % of the ${duration(total / 1000)} that are known; down ${number(long.length)} ` +
      `${long.length === 1 ? 'time' : 'times'}, the longest ${duration(Math.max(...long) / 1000)}.`;
  }

  mark() {
    const under = this.stretches.find((s) => this.scaled(s.from) <= this.pointer && this.pointer <= this.scaled(s.to));
    if (under === undefined) {
      this.tip.hidden = true;
      return;
    }
    this.say(this.pointer, `${under.link} for ${duration((under.to - under.from) / 1000)}, from ${duration((this.now - under.from) / 1000)} ago`);
  }
}
