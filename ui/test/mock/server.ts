import { readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { makeCoverage, makeFlow } from './coverage.ts';
import { makeEvent, makeEvents } from './data.ts';
import { makeAlerts, type Alerts } from './alerts.ts';
import { makeDatabases, type Databases } from './databases.ts';
import { Log } from './merkle.ts';
import { makeReports } from './reports.ts';
import { parseQuery, SyntaxProblem, values, type Row } from './search.ts';

/** The HTTP API as the page sees it, over made-up events: for development, and for the tests until there is a server. */
export interface Mock {
  handle(req: IncomingMessage, res: ServerResponse, next: () => void): void;
  /** Adds an event as if it had just been collected. */
  append(): void;
  databases: Databases;
  alerts: Alerts;
  setupToken: string;
}

export interface MockOptions {
  events?: number;
  /** Nobody has set the server up yet. */
  fresh?: boolean;
  /** Milliseconds every search takes. */
  delay?: number;
  /** A new event so often; 0 for never. */
  liveMs?: number;
  /** Of who signs in. */
  role?: 'admin' | 'auditor';
}

export const CSP = "default-src 'self'";
const KEYWORDS = [
  'event_name',
  'username',
  'resource',
  'event_source',
  'source_ip_address',
  'request_id',
  'outcome',
  'host',
  'event_id',
  'agent',
];

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly more: object = {},
  ) {
    super(detail);
  }
}

export function createMock(options: MockOptions = {}): Mock {
  const { events = 6000, fresh = false, delay = 0, liveMs = 700, role = 'admin' } = options;
  const origin = '6f0d1f0b7c7a4f1b9a3f0f6b2d6e4c11.attestry';
  const logs = new Map(['audit', 'logs'].map((name) => [name, new Log(`${origin}/${name}`)]));
  const rows: Row[] = [];
  const listeners = new Set<(row: Row) => void>();
  const verified = new Map<string, object>();
  const setupToken = 'f4c1f2d09b7e4a55';
  let needed = fresh;
  let account = { name: 'dora', password: 'correct horse battery' };
  let session: { csrf: string } | undefined;
  let serial = 3;
  const keys: Record<string, unknown>[] = [
    {
      id: 'k1',
      name: 'billing-api',
      kind: 'write',
      ledgers: ['audit'],
      filter: null,
      lenient: false,
      created_at: '2026-09-01T08:00:00Z',
      created_by: 'dora',
      expires_at: null,
      revoked_at: null,
      last_used_at: new Date(Date.now() - 90_000).toISOString(),
      expect_s: 3600,
      last_event_at: new Date(Date.now() - 7_200_000).toISOString(),
    },
    {
      id: 'k2',
      name: 'grafana',
      kind: 'read',
      ledgers: [],
      filter: '-event_source:db1',
      lenient: false,
      created_at: '2026-10-12T14:30:00Z',
      created_by: 'dora',
      expires_at: '2027-01-01T00:00:00Z',
      revoked_at: null,
      last_used_at: null,
      expect_s: null,
      last_event_at: null,
    },
  ];

  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
  const agent = (name: string, more: object) => ({
    name,
    ledgers: ['audit', 'logs'],
    enrolled_at: '2026-09-01T08:00:00Z',
    revoked_at: null as string | null,
    expires_at: new Date(Date.now() + 280 * 86_400_000).toISOString(),
    last_seen: ago(12) as string | null,
    address: '10.20.0.7' as string | null,
    progress: [{ ledger: 'audit', epoch: 1, next: 81_233, lost: 0 }],
    status: {
      version: '0.3.1',
      now: ago(12),
      spool: { epoch: 1, events: 0, bytes: 1 << 20, oldest_s: null },
      sources: [],
      sinks: [{ name: 'central', state: 'running', lag: 0, dead: 0 }],
    } as object | null,
    ...more,
  });
  const agents = fresh
    ? []
    : [
        agent('db1', { progress: [{ ledger: 'audit', epoch: 2, next: 9000, lost: 41 }] }),
        agent('edge-fra-1', {
          last_seen: ago(4210),
          status: {
            version: '0.3.0',
            now: ago(4210),
            spool: { epoch: 1, events: 18_402, bytes: 31 << 20, oldest_s: 4310 },
            sources: [],
            sinks: [{ name: 'siem', state: 'waiting', lag: 18_402, dead: 3, why: 'connection refused' }],
          },
        }),
        agent('queue1', { last_seen: null, address: null, status: null, progress: [] }),
        agent('web1', {}),
        agent('web2', { revoked_at: '2026-11-02T10:00:00Z', last_seen: '2026-11-02T09:59:40Z' }),
      ];

  function add(made: { ledger: string; time: number; entry: string }): void {
    const log = logs.get(made.ledger);
    if (!log) return;
    const row: Row = {
      ledger: made.ledger,
      index: log.size,
      time: made.time,
      entry: made.entry,
      event: JSON.parse(made.entry) as Record<string, unknown>,
    };
    log.append(made.entry);
    rows.push(row);
    for (const listener of listeners) listener(row);
  }
  for (const made of makeEvents(events, Date.now())) add(made);
  const append = () => add(makeEvent(Date.now()));
  const opening = rows.findLast((row) => row.event.event_name === 'violation.open');
  const alerts = makeAlerts(Date.now());
  const databases = makeDatabases(Date.now(), String(opening?.event.event_id ?? ''));

  const reports = makeReports(Date.now());

  function found(url: URL): Row[] {
    const p = url.searchParams;
    const now = Date.now();
    const bound = (text: string | null, open: number) =>
      text === null || text === '' ? open : text === 'now' ? now : Date.parse(text);
    const from = bound(p.get('from'), -Infinity);
    const to = bound(p.get('to'), Infinity);
    const ledgers = p.get('ledger')?.split(',');
    const matches = query(p.get('q') ?? '');
    return rows
      .filter(
        (row) =>
          row.time >= from && row.time < to && (!ledgers || ledgers.includes(row.ledger)) && matches(row),
      )
      .sort((a, b) => a.time - b.time || a.index - b.index);
  }

  function query(q: string) {
    try {
      return parseQuery(q);
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error;
      const { message, position, length, expected } = error;
      throw new Refusal(400, 'The query cannot be read', message, { position, length, expected });
    }
  }

  const shown = (row: Row) => `{"ledger":"${row.ledger}","index":${row.index},"event":${row.entry}}`;

  function events_(url: URL, accept: string) {
    const p = url.searchParams;
    const all = found(url);
    if (p.get('order') !== 'asc') all.reverse();
    const format = p.get('format') ?? accept;
    if (format.includes('ndjson'))
      return { type: 'application/x-ndjson', body: all.map((row) => row.entry + '\n').join('') };
    if (format.includes('csv'))
      return {
        type: 'text/csv',
        body:
          'ledger,index,event\n' +
          all.map((row) => `${row.ledger},${row.index},${row.event.event_name}\n`).join(''),
      };
    const cursor = Number(p.get('cursor') ?? 0);
    const limit = Number(p.get('limit') ?? 100);
    const page = all.slice(cursor, cursor + limit);
    const next = cursor + limit < all.length ? `"${cursor + limit}"` : 'null';
    return {
      type: 'application/json',
      body: `{"events":[${page.map(shown).join(',')}],"next":${next},"took_ms":1.7}`,
    };
  }

  function histogram(url: URL) {
    const p = url.searchParams;
    const all = found(url);
    const from = p.get('from') ? Date.parse(p.get('from') ?? '') : (all[0]?.time ?? Date.now() - 3_600_000);
    const to = p.get('to') ? Date.parse(p.get('to') ?? '') : (all.at(-1)?.time ?? Date.now()) + 1;
    const nice = [
      1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800,
    ];
    const wanted = (to - from) / 1000 / Number(p.get('buckets') ?? 100);
    const step = nice.find((s) => s >= wanted) ?? 604800;
    const by = p.get('by');
    const buckets = new Map<number, { time: string; count: number; by?: Record<string, number> }>();
    for (let t = Math.floor(from / 1000 / step) * step; t * 1000 < to; t += step) {
      buckets.set(t, { time: new Date(t * 1000).toISOString(), count: 0, ...(by ? { by: {} } : {}) });
    }
    const totals = new Map<string, number>();
    for (const row of all) {
      const bucket = buckets.get(Math.floor(row.time / 1000 / step) * step);
      if (!bucket) continue;
      bucket.count++;
      const value = by ? values(row.event, by)[0] : undefined;
      if (value === undefined || !bucket.by) continue;
      bucket.by[String(value)] = (bucket.by[String(value)] ?? 0) + 1;
      totals.set(String(value), (totals.get(String(value)) ?? 0) + 1);
    }
    const by_values = [...totals]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 8)
      .map(([v]) => v);
    for (const bucket of buckets.values()) {
      for (const value of Object.keys(bucket.by ?? {}))
        if (!by_values.includes(value)) delete bucket.by?.[value];
    }
    return {
      count: all.length,
      more_values: Math.max(0, totals.size - by_values.length),
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      interval_s: step,
      buckets: [...buckets.values()],
      by_values,
    };
  }

  function top(all: Row[], field: string, limit: number, prefix = '') {
    const counts = new Map<string, number>();
    let missing = 0;
    for (const row of all) {
      const own = values(row.event, field);
      if (own.length === 0) missing++;
      for (const v of own)
        if (String(v).startsWith(prefix)) counts.set(String(v), (counts.get(String(v)) ?? 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    return {
      values: sorted.slice(0, limit).map(([value, count]) => ({ value, count })),
      distinct: counts.size,
      missing,
    };
  }

  function fields() {
    const kinds = new Map<string, string>();
    const walk = (value: unknown, path: string) => {
      if (Array.isArray(value)) for (const v of value) walk(v, path);
      else if (value !== null && typeof value === 'object')
        for (const [n, v] of Object.entries(value)) walk(v, `${path}.${n}`);
      else if (value !== null)
        kinds.set(
          path,
          typeof value === 'number' ? 'number' : typeof value === 'boolean' ? 'bool' : 'keyword',
        );
    };
    for (const row of rows.slice(-3000)) if (row.event.event_data) walk(row.event.event_data, 'event_data');
    return {
      fields: [
        ...KEYWORDS.map((name) => ({ name, kind: 'keyword' })),
        { name: 'message', kind: 'text' },
        { name: 'severity', kind: 'number' },
        { name: 'read_only', kind: 'bool' },
        { name: 'event_time', kind: 'time' },
        { name: 'received_at', kind: 'time' },
        ...[...kinds].sort().map(([name, kind]) => ({ name, kind })),
      ],
    };
  }

  function one(ledger: string, index: number): Row {
    const row = rows.find((r) => r.ledger === ledger && r.index === index);
    if (!row) throw new Refusal(404, 'No such entry', `${ledger}/${index} is not in this ledger`);
    return row;
  }

  function ledgers() {
    return [...logs].map(([name, log]) => ({
      name,
      size: log.size,
      first: 0,
      origin: log.origin,
      vkey: log.vkey(),
      checkpoint: {
        size: log.size,
        root: log.root().toString('base64'),
        time: new Date().toISOString(),
        note: log.checkpoint(),
      },
      bytes: log.size * 214,
      public: name === 'logs',
      retention_days: name === 'logs' ? 90 : null,
      indexed: log.size,
      last_verify: verified.get(name) ?? null,
    }));
  }

  async function api(
    req: IncomingMessage,
    url: URL,
  ): Promise<{ type?: string; body: unknown; status?: number; headers?: Record<string, string> }> {
    const path = url.pathname.replace('/api/v1', '');
    const method = req.method ?? 'GET';
    const p = url.searchParams;
    const input =
      method === 'POST' ? ((JSON.parse((await read(req)) || '{}') as Record<string, string>) ?? {}) : {};
    const cookie = req.headers.cookie?.includes('attestry_session=mock') && session;
    const signedIn = () => {
      session = { csrf: 'c5f0' };
      return {
        body: { user: { name: account.name, role }, csrf: session.csrf },
        headers: { 'set-cookie': 'attestry_session=mock; HttpOnly; SameSite=Strict; Path=/' },
      };
    };
    if (path === '/setup' && method === 'GET') return { body: { needed } };
    if (path === '/setup') {
      if (!needed || input.token !== setupToken)
        throw new Refusal(
          403,
          'This link does not work',
          'the set-up link was used already or is older than 15 minutes',
        );
      if ((input.password ?? '').length < 10)
        throw new Refusal(422, 'Password refused', 'a password has at least 10 characters');
      needed = false;
      account = { name: input.username ?? '', password: input.password ?? '' };
      return signedIn();
    }
    if (path === '/session' && method === 'POST') {
      if (input.username !== account.name || input.password !== account.password)
        throw new Refusal(401, 'Not signed in', 'the user name or the password is wrong');
      return signedIn();
    }
    if (!cookie) throw new Refusal(401, 'Not signed in', 'sign in, or send an API key');
    if (method !== 'GET' && req.headers['x-csrf-token'] !== session?.csrf)
      throw new Refusal(403, 'Refused', 'the CSRF token is missing or wrong');
    if (path === '/session' && method === 'DELETE') {
      session = undefined;
      return { status: 204, body: '' };
    }
    if (path === '/session')
      return {
        body: {
          user: { name: account.name, role },
          csrf: session?.csrf,
          expires: new Date(Date.now() + 8 * 3_600_000).toISOString(),
        },
      };
    if (path === '/keys' && method === 'POST') {
      const key = {
        id: `k${serial++}`,
        name: input.name,
        kind: input.kind,
        ledgers: input.ledger ? [input.ledger] : input.kind === 'write' ? ['audit'] : [],
        filter: input.filter ?? null,
        lenient: false,
        created_at: new Date().toISOString(),
        created_by: account.name,
        expires_at: input.expires ?? null,
        revoked_at: null,
        last_used_at: null,
        expect_s: input.expect === '1h' ? 3600 : null,
        last_event_at: null,
      };
      keys.push(key);
      return { status: 201, body: { id: key.id, key: `atk_${'0123456789abcdef'.repeat(2)}` } };
    }
    if (path === '/keys') return { body: { keys } };
    if (path.startsWith('/keys/') && method === 'DELETE') {
      const at = keys.findIndex((key) => key.id === path.slice(6));
      if (keys[at]) keys[at].revoked_at = new Date().toISOString();
      return { status: 204, body: '' };
    }
    if (path === '/sources')
      return {
        body: {
          sources: [
            {
              name: 'dpkg',
              on: true,
              events: 812,
              last_event: rows.at(-1)?.event.event_time ?? null,
              losses: 0,
            },
            { name: 'host', on: true, events: 94, last_event: rows.at(-1)?.event.event_time ?? null },
            { name: 'auth-log', on: true, events: 0, last_event: null, losses: 2 },
            { name: 'logins', on: false, why: '/var/log/wtmp does not exist', events: 0, last_event: null },
          ],
        },
      };
    if (path === '/agents') return { body: { agents } };
    if (path === '/agents/tokens') {
      const { name = '' } = input;
      if (agents.some((known) => known.name === name && known.revoked_at === null))
        throw new Refusal(409, 'It exists already', `${name} is enrolled`);
      const token = `${name}.${'k7Qm'.repeat(8)}.${'ab'.repeat(32)}`;
      return { status: 201, body: { token, expires_at: ago(-3600) } };
    }
    if (path.startsWith('/agents/') && method === 'DELETE') {
      const found = agents.find((known) => known.name === decodeURIComponent(path.slice(8)));
      if (!found) throw new Refusal(404, 'There is no such thing', 'no such agent');
      found.revoked_at = new Date().toISOString();
      return { status: 204, body: '' };
    }
    if (path === '/flow') return { body: fresh ? { receivers: [], sinks: [] } : makeFlow(Date.now()) };
    if (path === '/rules') return { body: alerts.rules() };
    if (path === '/alerts') return { body: fresh ? alerts.none() : alerts.list(p) };
    if (path.startsWith('/alerts/') && method === 'POST') {
      if (role !== 'admin') throw new Refusal(403, 'Not allowed', 'for administrators');
      const {
        alerts: ids,
        reason,
        until,
      } = input as unknown as {
        alerts: string[];
        reason: string;
        until?: string;
      };
      const refused = alerts.act(path.slice(8), ids, reason, account.name, until);
      if (refused) throw new Refusal(refused.status, 'Not done', refused.detail);
      return { body: { done: ids.length } };
    }
    if (path.startsWith('/alerts/')) {
      const found = alerts.show(decodeURIComponent(path.slice(8)));
      if (!found) throw new Refusal(404, 'There is no such thing', 'no such alert');
      return { body: found };
    }
    if (path === '/databases') return { body: { watches: fresh ? [] : databases.watches() } };
    if (path === '/violations') return { body: databases.violations(p) };
    if (path === '/violations/sign-off') {
      if (role !== 'admin') throw new Refusal(403, 'Not allowed', 'for administrators');
      const { fingerprints, reason } = input as unknown as { fingerprints: string[]; reason: string };
      const refused = databases.signOff(fingerprints, reason, account.name);
      if (refused) throw new Refusal(refused.status, 'Not signed off', refused.detail);
      return { body: { signed_off: fingerprints.length } };
    }
    if (path.startsWith('/violations/')) {
      const versions = databases.history(decodeURIComponent(path.split('/')[2] ?? ''));
      if (!versions) throw new Refusal(404, 'There is no such thing', 'no such violation');
      return { body: { versions } };
    }
    if (path === '/reports') return { body: fresh ? { reports: [], schedules: [] } : reports.list() };
    if (path === '/reports/made') return { body: fresh ? { made: [], more: false } : reports.made() };
    if (path === '/reports/run') {
      const done = reports.run(input, account.name);
      if ('status' in done) throw new Refusal(Number(done.status), 'Not made', String(done.detail));
      return { status: 201, body: done };
    }
    if (path === '/reports/schedules' || path.startsWith('/reports/schedules/')) {
      if (role !== 'admin') throw new Refusal(403, 'Not allowed', 'for administrators');
      const { name, planned } = input as unknown as { name: string; planned: Record<string, unknown> };
      const refused =
        method === 'DELETE'
          ? void reports.unschedule(decodeURIComponent(path.slice('/reports/schedules/'.length)))
          : reports.schedule(name, planned, account.name);
      if (refused) throw new Refusal(refused.status, 'Not scheduled', refused.detail);
      return { status: 204, body: '' };
    }
    if (path.startsWith('/reports/made/')) {
      const text = reports.page(decodeURIComponent(path.slice('/reports/made/'.length)));
      if (text === null) throw new Refusal(404, 'There is no such thing', 'no such report');
      const headers = {
        'content-security-policy':
          "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'",
        'x-frame-options': 'SAMEORIGIN',
        ...(p.get('show') === 'true' ? {} : { 'content-disposition': 'attachment; filename="report.html"' }),
      };
      return { type: 'text/html; charset=utf-8', body: text, headers };
    }
    if (path === '/coverage') return { body: makeCoverage(rows, url, Date.now()) };
    if (path === '/ledgers') return { body: ledgers() };
    if (path.endsWith('/verify')) {
      const name = path.split('/')[2] ?? '';
      const entries = logs.get(name)?.size ?? 0;
      const status = { time: new Date().toISOString(), running: true, clean: true, entries: 0, problems: [] };
      verified.set(name, status);
      setTimeout(
        () => Object.assign(status, { time: new Date().toISOString(), running: false, entries }),
        600,
      );
      return { status: 202, body: {} };
    }
    if (path === '/query') {
      try {
        parseQuery(p.get('q') ?? '');
        return { body: { ok: true, tokens: [] } };
      } catch (error) {
        if (!(error instanceof SyntaxProblem)) throw error;
        return {
          body: {
            ok: false,
            position: error.position,
            length: error.length,
            message: error.message,
            expected: error.expected,
          },
        };
      }
    }
    if (delay > 0) await new Promise((done) => setTimeout(done, delay));
    const field = p.get('field') ?? '';
    if (path === '/events') return events_(url, req.headers.accept ?? '');
    if (path === '/count') return { body: { count: found(url).length, took_ms: 0.3 } };
    if (path === '/histogram') return { body: histogram(url) };
    if (path === '/top') {
      const all = found(url);
      return { body: { field, ...top(all, field, Number(p.get('limit') ?? 10)), count: all.length } };
    }
    if (path === '/fields') return { body: fields() };
    if (path === '/values')
      return {
        body: { values: top(rows, field, Number(p.get('limit') ?? 10), p.get('prefix') ?? '').values },
      };
    const address = /^\/ledgers\/(\w+)\/entries\/(\d+)(\/raw|\/proof)?$/.exec(path);
    if (address) {
      const row = one(address[1] ?? '', Number(address[2]));
      const log = logs.get(row.ledger);
      if (address[3] === '/raw') return { type: 'application/json', body: row.entry };
      if (address[3] === '/proof') return { type: 'text/plain; charset=utf-8', body: log?.proof(row.index) };
      return {
        type: 'application/json',
        body: `{"ledger":"${row.ledger}","index":${row.index},"leaf_hash":"${log?.leaf(row.index)}","event":${row.entry},"also":[]}`,
      };
    }
    throw new Refusal(404, 'Not found', `${method} ${path} does not exist`);
  }

  function tail(req: IncomingMessage, res: ServerResponse, url: URL): void {
    const matches = query(url.searchParams.get('q') ?? '');
    const only = url.searchParams.get('ledger')?.split(',');
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    res.write(': hello\n\n');
    const listener = (row: Row) => {
      if (matches(row) && (!only || only.includes(row.ledger)))
        res.write(`event: event\ndata: ${shown(row)}\n\n`);
    };
    listeners.add(listener);
    const timer = liveMs > 0 ? setInterval(append, liveMs) : undefined;
    req.on('close', () => {
      listeners.delete(listener);
      clearInterval(timer);
    });
  }

  function handle(req: IncomingMessage, res: ServerResponse, next: () => void): void {
    const url = new URL(req.url ?? '/', 'http://mock');
    const log = /^\/log\/(\w+)\/(vkey|checkpoint)$/.exec(url.pathname);
    if (log) {
      const text =
        log[2] === 'vkey' ? logs.get(log[1] ?? '')?.vkey() + '\n' : logs.get(log[1] ?? '')?.checkpoint();
      res.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
      return;
    }
    if (!url.pathname.startsWith('/api/')) return next();
    const refuse = (error: unknown) => {
      const r = error instanceof Refusal ? error : new Refusal(500, 'The mock failed', String(error));
      res.writeHead(r.status, { 'content-type': 'application/problem+json' });
      res.end(
        JSON.stringify({
          type: 'about:blank',
          title: r.title,
          status: r.status,
          detail: r.detail,
          ...r.more,
        }),
      );
    };
    if (url.pathname === '/api/v1/tail') {
      try {
        return tail(req, res, url);
      } catch (error) {
        return refuse(error);
      }
    }
    api(req, url).then(({ type = 'application/json', body, status = 200, headers = {} }) => {
      res.writeHead(status, { 'content-type': type, ...headers });
      res.end(typeof body === 'string' ? body : JSON.stringify(body));
    }, refuse);
  }

  return { handle, append, alerts, databases, setupToken };
}

async function read(req: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of req) text += String(chunk);
  return text;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** Serves a build as the real server does: strict CSP, and the page for every path that is not a file. */
export function serveBuild(dist: string) {
  return (req: IncomingMessage, res: ServerResponse): void => {
    const path = new URL(req.url ?? '/', 'http://mock').pathname;
    let file = join(dist, path.includes('..') ? '/' : path);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) file = join(dist, 'index.html');
    res.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-security-policy': CSP,
    });
    res.end(readFileSync(file));
  };
}
