// From numbers to words. Pure.

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const ABSENT = '–';

function isAbsent(value) {
  return value === null || value === undefined;
}

export function number(value) {
  return isAbsent(value) ? ABSENT : plain.format(value);
}

export function rate(value) {
  if (isAbsent(value)) return ABSENT;
  return value < 10 ? tenths.format(value) : plain.format(value);
}

// "1 message", "12 messages".
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function bytes(value) {
  if (isAbsent(value)) return ABSENT;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  for (; value >= 1024 && unit + 1 < units.length; ++unit) value /= 1024;
  return `${unit === 0 ? plain.format(value) : tenths.format(value)} ${units[unit]}`;
}

// "12 s", "3 min 5 s", "2 h 10 min", "4 d 3 h".
export function duration(seconds) {
  if (isAbsent(seconds)) return ABSENT;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${plain.format(Math.floor(s / 86400))} d ${Math.floor((s % 86400) / 3600)} h`;
}

// An estimate, no more exact than it is: "a few seconds", "about 40 s", "about 3 min", "about 1 h 25 min", "about 5 h".
export function roughly(seconds) {
  if (seconds < 10) return 'a few seconds';
  if (seconds <= 50) return `about ${Math.ceil(seconds / 10) * 10} s`;
  if (seconds < 600) return `about ${Math.ceil(seconds / 60)} min`;
  if (seconds < 7200) {
    const minutes = Math.ceil(seconds / 300) * 5;
    if (minutes < 60) return `about ${minutes} min`;
    return minutes % 60 === 0 ? `about ${minutes / 60} h` : `about ${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }
  if (seconds < 172800) return `about ${Math.ceil(seconds / 3600)} h`;
  return `about ${Math.ceil(seconds / 86400)} days`;
}

// `time` and `now`: ms by the gateway's clock.
export function ago(time, now) {
  return isAbsent(time) ? 'never' : `${duration((now - time) / 1000)} ago`;
}

// "2026-11-25 14:03" in UTC, as logs have it.
export function date(time) {
  return isAbsent(time) ? ABSENT : `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

export function clock(time) {
  return new Date(time).toISOString().slice(11, 19);
}

// What can be said about the end of a backlog: [severity, sentence].
export function drain(estimate, hindrance) {
  switch (estimate.state) {
    case 'empty': return ['good', 'nothing waits'];
    case 'flowing': return ['good', 'up to date; these are on their way'];
    case 'measuring': return ['', 'measuring how fast it drains'];
    case 'draining': return ['', `empty in ${roughly(estimate.left_s)}`];
    case 'growing': return ['bad', `not draining: grows by ${rate(estimate.per_second)}/s, more comes in than goes out`];
    case 'stuck': return ['bad', 'not draining: it does not move'];
    case 'waiting': return ['warning', `not draining: ${hindrance}`];
    default: return ['bad', 'unknown: it can\'t be asked'];
  }
}
