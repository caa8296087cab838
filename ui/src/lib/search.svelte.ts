import { api, ApiError, isAbort, serverNow, type Histogram, type Row, type Scope } from './api';
import { grow } from './stack';
import { resolveRange } from './time';
import { view } from './view.svelte';

/** Rows fetched at once; the table asks for more before its end comes into sight. */
const PAGE_ROWS = 200;
/** The live list keeps this many rows in memory, the oldest leave first. */
const LIVE_ROWS = 5000;
/** About 7 px a bar on a wide screen. */
const BUCKETS = 140;

export const rowKey = (row: Row) => `${row.ledger}/${row.index}`;

/** The search whose result is on the page. What was found before stays until its successor arrives. */
class Search {
  rows: Row[] = $state.raw([]);
  /** The cursor behind the last row; null when there is no more. */
  next: string | null = $state.raw(null);
  /** Older rows left a live list that grew too long. */
  trimmed = $state(false);
  total: number | null = $state.raw(null);
  /** Committed events that the index does not know yet. */
  behind = $state(0);
  histogram: Histogram | null = $state.raw(null);
  failure: ApiError | null = $state.raw(null);
  /** Why there is no histogram or count though there are rows. */
  sideFailure: ApiError | null = $state.raw(null);
  /** When the running request began (performance.now()); null when none runs. */
  since: number | null = $state(null);
  stopped = $state(false);
  /** Milliseconds until the rows were here. */
  took: number | null = $state(null);
  loadingMore = $state(false);
  /** Counts finished searches: what depends on the scope reloads with it. */
  generation = $state(0);
  /** What was searched, with both ends of the range resolved at the same instant. */
  scope: Scope = $state.raw({ q: '', ledgers: [] });
  /** The query line's text, applied or not. */
  draft = $state(view.now.q);
  /** Where the query line was perhaps not meant as it is read; '' for nowhere. */
  hint = $state('');
  /** The row the keys act on: `ledger/index`. */
  cursor = $state('');

  #abort: AbortController | null = null;
  #order: 'desc' | 'asc' = 'desc';

  async run(): Promise<void> {
    const { range, ledgers, order, by } = view.now;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const started = performance.now();
    this.since = started;
    this.stopped = false;
    this.loadingMore = false;
    const scope: Scope = { q: view.query, ledgers, ...resolveRange(range, serverNow()) };
    const rows = api.events(scope, order, PAGE_ROWS, undefined, abort.signal).then((page) => {
      this.scope = scope;
      this.#order = order;
      this.rows = page.rows;
      this.next = page.next;
      this.behind = page.behind;
      this.trimmed = false;
      this.took = performance.now() - started;
      this.failure = null;
      this.generation++;
    });
    const side = this.#bars(scope, by, abort.signal).then(() => (this.sideFailure = null));
    const [main, extra] = await Promise.allSettled([rows, side]);
    if (this.#abort !== abort) return;
    this.since = null;
    if (main.status === 'rejected') this.#fail(main.reason);
    else if (extra.status === 'rejected' && !isAbort(extra.reason))
      this.sideFailure = asApiError(extra.reason);
  }

  async #bars(scope: Scope, by: string, signal: AbortSignal): Promise<void> {
    this.histogram = await api.histogram(scope, BUCKETS, by, signal);
    this.total = this.histogram.count;
  }

  #fail(reason: unknown): void {
    if (isAbort(reason)) this.stopped = true;
    else this.failure = asApiError(reason);
  }

  async restack(): Promise<void> {
    const signal = this.#abort?.signal;
    if (!signal) return;
    try {
      await this.#bars(this.scope, view.now.by, signal);
      this.sideFailure = null;
    } catch (error) {
      if (!isAbort(error)) this.sideFailure = asApiError(error);
    }
  }

  async more(): Promise<void> {
    const abort = this.#abort;
    if (!abort || this.next === null || this.loadingMore || this.since !== null) return;
    this.loadingMore = true;
    try {
      const page = await api.events(this.scope, this.#order, PAGE_ROWS, this.next, abort.signal);
      if (this.#abort !== abort) return;
      this.rows = [...this.rows, ...page.rows];
      this.next = page.next;
    } catch (error) {
      if (this.#abort === abort) this.#fail(error);
    } finally {
      if (this.#abort === abort) this.loadingMore = false;
    }
  }

  stop(): void {
    this.#abort?.abort();
  }

  /** New rows of the live tail, newest first. */
  prepend(fresh: Row[]): void {
    const known = new Set(this.rows.slice(0, PAGE_ROWS + fresh.length).map(rowKey));
    const added = fresh.filter((row) => !known.has(rowKey(row)));
    if (added.length === 0) return;
    const all = [...added, ...this.rows];
    if (all.length > LIVE_ROWS) {
      this.trimmed = true;
      this.next = null;
    }
    this.rows = all.slice(0, LIVE_ROWS);
    // Asking the server again would be a search, whose record would be the next live event, and so on.
    if (this.histogram) {
      this.histogram = grow(this.histogram, view.now.by, added);
      this.total = this.histogram.count;
    }
  }

  find(key: string): number {
    return key === '' ? -1 : this.rows.findIndex((row) => rowKey(row) === key);
  }
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, 'The answer cannot be read', String(error));
}

export const search = new Search();
