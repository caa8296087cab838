/** The server's HTTP API, as far as the page uses it. Only this and watch-api.ts know addresses and response shapes. */
import { ExactNumber, parseJson, type Json, type JsonObject } from './json';

const BASE = '/api/v1';

/** What the server refused, or why it could not be asked: RFC 9457's words, ready to show. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly more: Record<string, unknown> = {},
  ) {
    super(detail === '' ? title : `${title}: ${detail}`);
  }
}

export const isAbort = (error: unknown) => error instanceof DOMException && error.name === 'AbortError';

export interface User {
  name: string;
  role: string;
}

export interface Session {
  user: User;
  csrf: string;
}

/** An event at its address. */
export interface Row {
  ledger: string;
  index: number;
  event: JsonObject;
}

export interface Page {
  rows: Row[];
  next: string | null;
  /** Committed events that searches do not find yet. */
  behind: number;
}

/** What is searched, as the API takes it. */
export interface Scope {
  q: string;
  from?: string;
  to?: string;
  ledgers: string[];
}

export interface Histogram {
  from: string;
  to: string;
  interval_s: number;
  buckets: { time: string; count: number; by?: Record<string, number> }[];
  /** The most frequent values of the field it is divided by. */
  by_values?: string[];
  /** How many more values there are. */
  more_values?: number;
  /** All events that match. */
  count: number;
}

export interface ValueCount {
  value: string;
  count: number;
}

export interface Top {
  values: ValueCount[];
  distinct: number;
  missing: number;
  count: number;
}

export interface FieldInfo {
  name: string;
  kind: string;
}

export interface QueryCheck {
  ok: boolean;
  position?: number;
  length?: number;
  message?: string;
  expected?: string;
  hints?: { position: number; length: number; message: string }[];
}

export interface Verification {
  /** When it ended; while it runs, when it began. */
  time: string;
  running: boolean;
  clean: boolean;
  /** How many were hashed. */
  entries: number;
  /** Everything damaged or missing. */
  problems: string[];
}

export interface Ledger {
  name: string;
  size: number;
  first: number;
  origin: string;
  vkey: string;
  checkpoint: { size: number; root: string; time: string; note: string } | null;
  bytes: number;
  public: boolean;
  /** Null: for ever. */
  retention_days: number | null;
  last_verify: Verification | null;
}

export interface Key {
  id: string;
  name: string;
  kind: 'write' | 'read';
  /** Empty: all. */
  ledgers: string[];
  filter: string | null;
  created_at: string;
  /** `-`: Attestry itself, for the commands on its host. */
  created_by: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
  /** Null: it may be silent. */
  expect_s: number | null;
  last_event_at: string | null;
}

export interface NewKey {
  name: string;
  kind: 'write' | 'read';
  ledger?: string;
  filter?: string;
  expires?: string;
  /** Such as 1h. */
  expect?: string;
}

export interface Source {
  name: string;
  on: boolean;
  why?: string;
  last_event: string | null;
  /** How often it lost something since it started. An agent of an older version does not say. */
  losses?: number;
}

export interface Agent {
  name: string;
  ledgers: string[];
  enrolled_at: string;
  revoked_at: string | null;
  expires_at: string | null;
  last_seen: string | null;
  address: string | null;
  progress: { ledger: string; epoch: number; next: number; lost: number }[];
  /** What it last said of itself. */
  status: {
    version: string;
    now: string;
    /** How often it says this, in seconds. */
    every_s?: number;
    spool: { events: number; bytes: number; oldest_s: number | null; stalled?: string };
    sources: Source[];
    sinks: { name: string; state: string; lag: number; dead: number; why?: string }[];
  } | null;
}

export interface Receiver {
  name: string;
  protocol: string;
  /** Null for what fetches. */
  address: string | null;
  ledger: string;
  messages: number;
  bytes: number;
  kept: number;
  filtered: number;
  malformed: number;
  /** Absent: its protocol does not count that. */
  dropped?: number;
  refused?: number;
  connections?: number;
  redelivered?: number;
  acknowledged?: number;
  connects?: number;
  /** Why nothing comes in at present. */
  why?: string;
  last: string | null;
  every_s?: number;
}

export interface Sink {
  name: string;
  protocol: string;
  log: string;
  state: string;
  delivered: number;
  filtered: number;
  refused: number;
  retries: number;
  lost: number;
  lag: number;
  dead: number;
  why: string | null;
  since: string | null;
}

export interface Flow {
  receivers: Receiver[];
  sinks: Sink[];
}

export interface Gap {
  /** Counted from the first hour. */
  hour: number;
  name: string;
  /** Null: nobody knows. */
  missing: number | null;
  why: string;
  ledger: string;
  index: number;
}

/** A host's source, hour by hour; a list that is absent holds nothing but zeros. */
export interface CoverageRow {
  host: string;
  source: string;
  every_s?: number;
  seen: number[];
  expected?: (number | null)[];
  missing?: number[];
  silent_s?: number[];
  gaps?: Gap[];
}

export interface Coverage {
  from: string;
  to: string;
  hours: number;
  rows: CoverageRow[];
  cut: boolean;
  behind?: number;
}

export interface Detail extends Row {
  leaf_hash: string;
  also: string[];
}

let csrf = '';
let skewMs = 0;
let onUnauthorized: () => void = () => {};

/** Called whenever the server no longer knows the session. */
export function whenUnauthorized(call: () => void): void {
  onUnauthorized = call;
}

/** The server's clock, so that `now` means there what it means here. */
export function serverNow(): number {
  return Date.now() + skewMs;
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.method && init.method !== 'GET') headers.set('X-CSRF-Token', csrf);
  let response: Response;
  try {
    response = await fetch(BASE + path, { ...init, headers, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, 'The server did not answer', 'is it running, and is the network up?');
  }
  const date = Date.parse(response.headers.get('date') ?? '');
  // The header knows only whole seconds; less than two of difference is none.
  if (!isNaN(date)) skewMs = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  if (response.ok) return response;
  if (response.status === 401 && path !== '/session') onUnauthorized();
  throw await problem(response);
}

async function problem(response: Response): Promise<ApiError> {
  const fallback = response.statusText || `HTTP ${response.status}`;
  try {
    const { title, detail, ...more } = (await response.json()) as Record<string, unknown>;
    return new ApiError(response.status, String(title ?? fallback), String(detail ?? ''), more);
  } catch {
    return new ApiError(response.status, fallback, '');
  }
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, signal ? { signal } : {})).json()) as T;
}

export async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.headers = { 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const text = await (await request(path, init)).text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

export function scopeParams(scope: Scope, more: Record<string, string | number | undefined> = {}): string {
  const params = new URLSearchParams();
  if (scope.q !== '') params.set('q', scope.q);
  if (scope.from !== undefined) params.set('from', scope.from);
  if (scope.to !== undefined) params.set('to', scope.to);
  if (scope.ledgers.length > 0) params.set('ledger', scope.ledgers.join(','));
  for (const [name, value] of Object.entries(more)) if (value !== undefined) params.set(name, String(value));
  return params.toString();
}

function toNumber(value: Json | undefined): number {
  return value instanceof ExactNumber ? Number(value.token) : Number(value);
}

function toRow(value: Json): Row {
  if (!(value instanceof Map))
    throw new ApiError(0, 'The answer cannot be read', 'an event is not an object');
  const event = value.get('event');
  if (!(event instanceof Map)) throw new ApiError(0, 'The answer cannot be read', 'an event is missing');
  return { ledger: String(value.get('ledger')), index: toNumber(value.get('index')), event };
}

export function parseRow(text: string): Row {
  return toRow(parseJson(text));
}

export const entryPath = (ledger: string, index: number) =>
  `/ledgers/${encodeURIComponent(ledger)}/entries/${index}`;

export const api = {
  setupNeeded: async () => (await getJson<{ needed: boolean }>('/setup')).needed,

  async setUp(token: string, username: string, password: string): Promise<Session> {
    const session = await send<Session>('POST', '/setup', { token, username, password });
    csrf = session.csrf;
    return session;
  },

  async session(): Promise<Session | null> {
    try {
      const session = await getJson<Session>('/session');
      csrf = session.csrf;
      return session;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },

  async signIn(username: string, password: string): Promise<Session> {
    const session = await send<Session>('POST', '/session', { username, password });
    csrf = session.csrf;
    return session;
  },

  signOut: () => send<void>('DELETE', '/session'),

  async events(
    scope: Scope,
    order: 'desc' | 'asc',
    limit: number,
    cursor?: string,
    signal?: AbortSignal,
  ): Promise<Page> {
    const params = scopeParams(scope, { order, limit, cursor });
    const text = await (await request(`/events?${params}`, signal ? { signal } : {})).text();
    const answer = parseJson(text);
    const events = answer instanceof Map ? answer.get('events') : undefined;
    if (!(answer instanceof Map) || !Array.isArray(events)) {
      throw new ApiError(0, 'The answer cannot be read', 'it holds no list of events');
    }
    const next = answer.get('next');
    return {
      rows: events.map(toRow),
      next: typeof next === 'string' ? next : null,
      behind: answer.has('behind') ? toNumber(answer.get('behind')) : 0,
    };
  },

  async entry(ledger: string, index: number, signal?: AbortSignal): Promise<Detail> {
    const text = await (await request(entryPath(ledger, index), signal ? { signal } : {})).text();
    const answer = parseJson(text) as JsonObject;
    const also = answer.get('also');
    return {
      ...toRow(answer),
      leaf_hash: String(answer.get('leaf_hash') ?? ''),
      also: Array.isArray(also)
        ? also.flatMap((v) =>
            v instanceof Map ? [`${String(v.get('ledger'))}/${String(v.get('index'))}`] : [],
          )
        : [],
    };
  },

  raw: async (ledger: string, index: number) =>
    new Uint8Array(await (await request(`${entryPath(ledger, index)}/raw`)).arrayBuffer()),

  /** The text that a `$ref` in the entry stands for. */
  value: async (ledger: string, index: number, hash: string) =>
    (await request(`${entryPath(ledger, index)}/values/${hash}`)).text(),

  proof: async (ledger: string, index: number) => (await request(`${entryPath(ledger, index)}/proof`)).text(),

  count: async (scope: Scope, signal?: AbortSignal) =>
    (await getJson<{ count: number }>(`/count?${scopeParams(scope)}`, signal)).count,

  histogram: (scope: Scope, buckets: number, by: string, signal?: AbortSignal) =>
    getJson<Histogram>(
      `/histogram?${scopeParams(scope, { interval: 'auto', buckets, by: by || undefined })}`,
      signal,
    ),

  top: (scope: Scope, field: string, limit: number, signal?: AbortSignal) =>
    getJson<Top>(`/top?${scopeParams(scope, { field, limit })}`, signal),

  fields: async (signal?: AbortSignal) => (await getJson<{ fields: FieldInfo[] }>('/fields', signal)).fields,

  values: async (ledgers: string[], field: string, prefix: string, limit: number, signal?: AbortSignal) => {
    const params = scopeParams({ q: '', ledgers }, { field, prefix, limit });
    return (await getJson<{ values: ValueCount[] }>(`/values?${params}`, signal)).values;
  },

  checkQuery: (q: string, signal?: AbortSignal) =>
    getJson<QueryCheck>(`/query?${new URLSearchParams({ q })}`, signal),

  ledgers: () => getJson<Ledger[]>('/ledgers'),

  verifyLedger: (name: string) => send<unknown>('POST', `/ledgers/${encodeURIComponent(name)}/verify`),

  keys: async () => (await getJson<{ keys: Key[] }>('/keys')).keys,

  createKey: (key: NewKey) => send<{ id: string; key: string }>('POST', '/keys', key),

  revokeKey: (id: string) => send<void>('DELETE', `/keys/${encodeURIComponent(id)}`),

  sources: async () => (await getJson<{ sources: Source[] }>('/sources')).sources,

  agents: async () => (await getJson<{ agents: Agent[] }>('/agents')).agents,

  inviteAgent: (name: string, ledgers: string[]) =>
    send<{ token: string; expires_at: string }>('POST', '/agents/tokens', { name, ledgers }),

  revokeAgent: (name: string) => send<void>('DELETE', `/agents/${encodeURIComponent(name)}`),

  flow: () => getJson<Flow>('/flow'),

  coverage: (from: string, to: string, ledgers: string[], signal?: AbortSignal) =>
    getJson<Coverage>(`/coverage?${scopeParams({ q: '', from, to, ledgers })}`, signal),

  tail: (scope: Scope) =>
    new EventSource(`${BASE}/tail?${scopeParams({ q: scope.q, ledgers: scope.ledgers })}`, {
      withCredentials: true,
    }),
};

/** The address of an export of everything that is searched; a browser saves it while it comes. */
export function exportAddress(scope: Scope, order: 'desc' | 'asc', format: 'ndjson' | 'csv'): string {
  return `${BASE}/events?${scopeParams(scope, { order, limit: 0, format })}`;
}
