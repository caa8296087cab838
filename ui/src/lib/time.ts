/**
 * Time ranges and their words. A bound is '' (open), 'now', relative such as '-24h', or an absolute RFC 3339
 * time in UTC. Zones are IANA names; 'local' is the browser's.
 */
export interface Range {
  from: string;
  to: string;
}

export const ALL_TIME: Range = { from: '', to: '' };

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const UNIT_WORDS: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };
const RELATIVE = /^-(\d{1,6})([smhdw])$/;

export const PRESETS: Range[] = ['-5m', '-15m', '-1h', '-6h', '-24h', '-7d', '-30d', '-365d'].map((from) => ({
  from,
  to: 'now',
}));

export function zoneName(zone: string): string {
  return zone === 'local' ? Intl.DateTimeFormat().resolvedOptions().timeZone : zone;
}

/** True for what may stand in the address bar as a bound. */
export function isBound(text: string): boolean {
  return (
    text === '' ||
    text === 'now' ||
    RELATIVE.test(text) ||
    (/^\d{4}-\d\d-\d\dT/.test(text) && !isNaN(Date.parse(text)))
  );
}

/** Milliseconds since 1970 of a bound; null when it is open. */
export function boundMillis(bound: string, now: number): number | null {
  if (bound === '') return null;
  if (bound === 'now') return now;
  const relative = RELATIVE.exec(bound);
  if (relative) return now - Number(relative[1]) * (UNIT_SECONDS[relative[2] ?? 's'] ?? 1) * 1000;
  return Date.parse(bound);
}

/** The range as the API takes it, both ends from the same `now`, so that list, count and histogram agree. */
export function resolveRange(range: Range, now: number): { from?: string; to?: string } {
  const out: { from?: string; to?: string } = {};
  const absolute = (bound: string) =>
    bound === 'now' || RELATIVE.test(bound) ? new Date(boundMillis(bound, now) ?? now).toISOString() : bound;
  if (range.from !== '') out.from = absolute(range.from);
  if (range.to !== '') out.to = absolute(range.to);
  return out;
}

// Offsets change at multiples of a quarter of an hour, so one look-up serves all times in it.
const QUARTER_MS = 900_000;
const formats = new Map<string, Intl.DateTimeFormat>();
const offsets = new Map<string, number>();

/** How far the zone's wall clock is ahead of UTC at that time, in milliseconds. */
export function zoneOffset(millis: number, zone: string): number {
  if (zone === 'UTC') return 0;
  const quarter = Math.floor(millis / QUARTER_MS);
  const key = `${zone}/${quarter}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zoneName(zone),
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  const at = quarter * QUARTER_MS;
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(at)) part[type] = Number(value);
  const wall = Date.UTC(
    part.year ?? 1970,
    (part.month ?? 1) - 1,
    part.day ?? 1,
    part.hour ?? 0,
    part.minute ?? 0,
    part.second ?? 0,
  );
  const offset = wall - at;
  if (offsets.size > 10_000) offsets.clear();
  offsets.set(key, offset);
  return offset;
}

/** Wall-clock time in a zone to milliseconds since 1970; a time the zone skips moves forward. */
export function fromWall(wall: number, zone: string): number {
  const first = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(first, zone);
}

/** `2026-11-21 10:00:00.123` in the zone; `digits` of the fraction (0 to 9) are taken from the text itself. */
export function formatTime(time: string, zone: string, digits = 3): string {
  const millis = Date.parse(time);
  if (isNaN(millis)) return time;
  const wall = new Date(millis + zoneOffset(millis, zone)).toISOString();
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  const shown = digits > 0 ? `.${fraction.padEnd(9, '0').slice(0, digits)}` : '';
  return `${wall.slice(0, 10)} ${wall.slice(11, 19)}${shown}`;
}

/** `+02:00`, or `UTC`. */
export function offsetLabel(millis: number, zone: string): string {
  const minutes = Math.round(zoneOffset(millis, zone) / 60_000);
  if (minutes === 0) return 'UTC';
  const abs = Math.abs(minutes);
  return `${minutes < 0 ? '−' : '+'}${pad(Math.floor(abs / 60))}:${pad(abs % 60)}`;
}

const pad = (n: number) => String(n).padStart(2, '0');

/**
 * What a person types as a bound: `-2h`, `now`, `today`, `yesterday`, `10:30`, `2026-11-21`, `2026-11-21 10:30[:15[.123]]`,
 * or RFC 3339. A day as the end of a range means its last instant. Null when it is none of these.
 */
export function parseBound(typed: string, zone: string, now: number, end = false): string | null {
  const text = typed.trim().toLowerCase();
  if (text === '' || text === 'now') return text;
  const relative = /^-?\s*(\d{1,6})\s*([smhdw])[a-z]*(?:\s+ago)?$/.exec(text);
  if (relative) return `-${relative[1]}${relative[2]}`;
  if (/^\d{4}-\d\d-\d\dt.*(z|[+-]\d\d:\d\d)$/.test(text)) {
    const millis = Date.parse(text.toUpperCase());
    return isNaN(millis) ? null : new Date(millis).toISOString();
  }
  const today = Math.floor((now + zoneOffset(now, zone)) / 86_400_000) * 86_400_000;
  const day = (wall: number) => new Date(fromWall(end ? wall + 86_400_000 : wall, zone)).toISOString();
  if (text === 'today') return day(today);
  if (text === 'yesterday') return day(today - 86_400_000);
  const match = /^(?:(\d{4})-(\d\d?)-(\d\d?))?(?:[\st]*(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?$/.exec(
    text,
  );
  if (!match || (match[1] === undefined && match[4] === undefined)) return null;
  const [, y, mo, d, h, mi, s, fraction] = match;
  const date = y === undefined ? today : Date.UTC(Number(y), Number(mo) - 1, Number(d));
  if (y !== undefined && new Date(date).getUTCDate() !== Number(d)) return null;
  if (h === undefined) return day(date);
  if (Number(h) > 23 || Number(mi) > 59 || Number(s ?? 0) > 59) return null;
  const millis = Number((fraction ?? '0').padEnd(3, '0').slice(0, 3));
  const wall = date + Number(h) * 3_600_000 + Number(mi) * 60_000 + Number(s ?? 0) * 1000 + millis;
  return new Date(fromWall(wall, zone)).toISOString();
}

/** How a bound reads in the picker's text field. */
export function boundText(bound: string, zone: string): string {
  if (bound === '' || bound === 'now' || RELATIVE.test(bound)) return bound;
  return formatTime(bound, zone, 3).replace(/\.000$/, '');
}

export function rangeLabel(range: Range, zone: string): string {
  if (range.from === '' && (range.to === '' || range.to === 'now')) return 'All time';
  const relative = RELATIVE.exec(range.from);
  if (relative && (range.to === 'now' || range.to === '')) {
    const n = Number(relative[1]);
    const unit = UNIT_WORDS[relative[2] ?? 's'] ?? '';
    return n === 1 ? `Last ${unit}` : `Last ${n} ${unit}s`;
  }
  const from = range.from === '' ? 'the first event' : boundText(range.from, zone);
  const to = range.to === '' ? 'the last event' : boundText(range.to, zone);
  // The same day is said once.
  const short = /^\d{4}-/.test(from) && from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to;
  return `${from} – ${short}`;
}

/** `3 min ago`, `in 2 h`. */
export function ago(time: string | number, now: number): string {
  const millis = typeof time === 'number' ? time : Date.parse(time);
  if (isNaN(millis)) return '';
  const seconds = Math.round((now - millis) / 1000);
  const words = span(Math.abs(seconds));
  if (Math.abs(seconds) < 1) return 'now';
  return seconds >= 0 ? `${words} ago` : `in ${words}`;
}

/** `45 s`, `3 min`, `5 h`, `12 days`. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  if (seconds < 63_072_000) return `${Math.round(seconds / 86_400)} days`;
  return `${Math.round(seconds / 31_536_000)} years`;
}
