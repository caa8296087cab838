/** What the server would say of coverage and flow, over the made-up events. */
import type { Row } from './search.ts';

const HOUR = 3_600_000;

export function makeCoverage(rows: Row[], url: URL, now: number): object {
  const p = url.searchParams;
  const from = Math.floor(Date.parse(p.get('from') ?? '') / HOUR);
  const hours = Math.ceil(Date.parse(p.get('to') ?? '') / HOUR) - from;
  const ledgers = p.get('ledger')?.split(',');
  const pairs = new Map<
    string,
    { host: string; source: string; seen: number[]; gaps: object[]; missing: number[] }
  >();
  const zeros = () => Array.from({ length: hours }, () => 0);
  const pair = (host: string, source: string) => {
    const key = `${host} ${source}`;
    const known = pairs.get(key) ?? { host, source, seen: zeros(), gaps: [], missing: zeros() };
    pairs.set(key, known);
    return known;
  };
  for (const row of rows) {
    const hour = Math.floor(row.time / HOUR) - from;
    if (hour < 0 || hour >= hours || (ledgers && !ledgers.includes(row.ledger))) continue;
    const { event } = row;
    const name = String(event.event_name);
    const of = pair(String(event.host ?? ''), String(event.event_source));
    of.seen[hour] = (of.seen[hour] ?? 0) + 1;
    if (!name.startsWith('gap.')) continue;
    const missing = row.index % 3 === 0 ? null : row.index % 3 === 1 ? 0 : 7;
    of.missing[hour] = (of.missing[hour] ?? 0) + (missing ?? 0);
    of.gaps.push({ hour, name, missing, why: String(event.message), ledger: row.ledger, index: row.index });
  }
  const sorted = [...pairs.values()].sort((a, b) =>
    a.host === b.host ? (a.source < b.source ? -1 : 1) : a.host < b.host ? -1 : 1,
  );
  return {
    from: new Date(from * HOUR).toISOString(),
    to: new Date((from + hours) * HOUR).toISOString(),
    hours,
    cut: false,
    took_ms: 3.1,
    rows: sorted.map((row) => {
      const all: Record<string, unknown> = { ...row };
      if (row.missing.every((n) => n === 0)) delete all.missing;
      if (row.source === 'host') {
        all.every_s = 60;
        const until = (hour: number) => Math.max(0, Math.min(1, now / HOUR - from - hour));
        const most = Math.max(...row.seen);
        all.expected = row.seen.map((_, hour) =>
          hour === 0 || until(hour) === 0 ? null : Math.round(most * 0.1 * until(hour)),
        );
      }
      // One host was away for some hours.
      if (row.host === 'edge-fra-1')
        all.silent_s = row.seen.map((_, hour) => (hour > hours - 8 && hour < hours - 3 ? 3600 : 0));
      return all;
    }),
  };
}

export function makeFlow(now: number): object {
  const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
  const receiver = (name: string, protocol: string, address: string | null, more: object) => ({
    name,
    protocol,
    address,
    ledger: 'logs',
    messages: 81_522,
    bytes: 16_304_400,
    kept: 81_402,
    filtered: 120,
    malformed: 0,
    last: ago(3),
    ...more,
  });
  const sink = (name: string, protocol: string, log: string, more: object) => ({
    name,
    protocol,
    log,
    state: 'running',
    delivered: 90_211,
    filtered: 0,
    refused: 0,
    retries: 0,
    lost: 0,
    lag: 0,
    dead: 0,
    why: null,
    since: null,
    ...more,
  });
  return {
    receivers: [
      receiver('office', 'syslog', 'udp://127.0.0.1:5514', {
        malformed: 12,
        every_s: 3600,
        dropped: 317,
        refused: 0,
        connections: 0,
      }),
      receiver('orders', 'nats', null, {
        ledger: 'audit',
        last: ago(9000),
        every_s: 3600,
        redelivered: 40,
        acknowledged: 81_402,
        connects: 3,
        why: 'cannot fetch from the broker: IO error: Connection refused (os error 111)',
      }),
      receiver('lab', 'gelf', 'tcp://127.0.0.1:12201', {
        kept: 0,
        last: null,
        messages: 0,
        bytes: 0,
        dropped: 0,
        refused: 2,
        connections: 1,
      }),
    ],
    sinks: [
      sink('archive', 'file', 'audit', {}),
      sink('siem', 'syslog', 'audit', {
        state: 'waiting',
        lag: 18_402,
        retries: 31,
        why: 'tls://siem.example:6514: connection refused (os error 111)',
        since: ago(1260),
      }),
      sink('warehouse', 'sql', 'logs', {
        state: 'halted',
        lag: 220,
        dead: 4,
        refused: 4,
        why: 'the table events has no column agent_seq, and this user may not add one',
        since: ago(7800),
      }),
    ],
  };
}
