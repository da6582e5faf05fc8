// The lists that may be long: a page at a time, asked for anew while somebody looks at it.

import { ago, bytes, count, duration, number } from './format.js';
import { fillTable } from './sections.js';

const AGAIN_MS = 5_000;

class PagedList {
  // `row(entry, wall)`: its cells.
  constructor(id, columns, row, wall) {
    Object.assign(this, { id, columns, row, wall });
    this.section = document.getElementById(id);
    this.note = this.section.querySelector('[data-is="note"]');
    this.back = this.section.querySelector('[data-is="back"]');
    this.on = this.section.querySelector('[data-is="on"]');
    this.starts = ['']; // of the pages up to this one
    this.isSeen = false;
    this.back.addEventListener('click', () => { this.starts.pop(); this.ask(); });
    this.on.addEventListener('click', () => { this.starts.push(this.last); this.ask(); });
    new IntersectionObserver(([entry]) => {
      this.isSeen = entry.isIntersecting;
      if (this.isSeen) this.ask();
    }, { rootMargin: '200px' }).observe(this.section);
    setInterval(() => { if (this.isSeen && document.visibilityState === 'visible') this.ask(); }, AGAIN_MS);
  }

  async ask() {
    const start = this.starts.at(-1);
    let answer;
    try {
      const response = await fetch(`/api/${this.id}?after=${encodeURIComponent(start)}`);
      if (response.status === 401) return;
      answer = await response.json();
    } catch {
      return; // The stream says that the server is away.
    }
    if (start !== this.starts.at(-1)) return; // Somebody went on meanwhile.
    this.show(answer);
  }

  show(answer) {
    const entries = answer[this.id] || [];
    this.last = entries.length > 0 ? entries.at(-1).client_id : '';
    fillTable(this.section.querySelector('table'), this.columns, entries.map((e) => this.row(e, this.wall())));
    this.back.disabled = this.starts.length === 1;
    this.on.disabled = !answer.more || entries.length === 0;
    this.section.querySelector('nav').hidden = this.back.disabled && this.on.disabled;
    if (answer.error) this.note.textContent = `Not known: ${answer.error}`;
    else if (entries.length === 0) this.note.textContent = 'None.';
    else this.note.textContent = this.back.disabled && !answer.more ? `${count(entries.length, 'entry', 'entries')}.` : `Page ${number(this.starts.length)}.`;
  }
}

// `wall()`: ms by the gateway's clock.
export function startLists(wall) {
  const lists = [
    new PagedList('clients', ['Client', 'Address', 'Connected for', '#Received', '#Acknowledged', '#Subscriptions', 'TLS'],
      (c, now) => [c.client_id, c.by_gateway ? `${c.peer}, by ${c.by_gateway}` : c.peer, duration((now - c.connected_at) / 1000),
        number(c.received), number(c.acknowledged), number(c.subscriptions), c.tls ? 'yes' : 'no'], wall),
    new PagedList('twins', ['Client', '#Size', '#Desired version', '#Reported version', 'Set here', 'To tell the hub', '#Refused', 'Asked of the hub'],
      (t, now) => [t.client_id, bytes(t.bytes), number(t.desired_version), number(t.reported_version), t.set_here ? 'yes' : 'no',
        t.to_tell_bytes > 0 ? bytes(t.to_tell_bytes) : 'nothing', number(t.refused), ago(t.synced_at, now)], wall),
  ];
  return () => lists.forEach((list) => list.ask());
}

