import {
  alertApi,
  ALERTS_MAX,
  type Alert,
  type AlertCounts,
  type AlertPage,
  type Deed,
  type WantedAlerts,
} from './alert-api';
import { canDo, mergeAlerts } from './alerts';
import { isAbort, type ApiError } from './api';
import { Picked } from './picked.svelte';
import { asApiError } from './search.svelte';

/** Fetched at once; the table asks for more before its end comes into sight. */
const PAGE = 200;

/** The alerts on the page, what is chosen among them, and where the keys are. */
class Alerts extends Picked<Alert> {
  counts: AlertCounts | null = $state.raw(null);
  failure: ApiError | null = $state.raw(null);
  /** What is chosen was asked for, and answered. */
  loaded = $state(false);
  #wanted: WantedAlerts = { state: 'active', level: '', rule: '' };
  #abort = new AbortController();
  #asking = false;
  #current = false;

  constructor() {
    super((one) => one.id);
  }

  /** Another choice; what was shown stays until its successor is here. */
  async ask(wanted: WantedAlerts): Promise<void> {
    this.#wanted = wanted;
    this.#current = false;
    this.unpick();
    await this.#fetch(PAGE, undefined, (page) => this.#show(page.alerts, page));
  }

  /** The same again: what is new, what was seen to. */
  async refresh(): Promise<void> {
    if (!this.#asking) await this.#again();
  }

  async #again(): Promise<void> {
    const known = this.#current ? this.list : [];
    const limit = Math.min(ALERTS_MAX, Math.max(PAGE, known.length));
    await this.#fetch(limit, undefined, (page) => this.#show(mergeAlerts(known, page), page));
  }

  /** What is older than the last one shown. */
  async next(): Promise<void> {
    const last = this.list.at(-1);
    if (!this.#current || !this.more || this.loadingMore || !last || this.failure) return;
    this.loadingMore = true;
    await this.#fetch(PAGE, last.id, (page) => {
      this.append(page.alerts);
      this.more = page.more;
    });
    this.loadingMore = false;
  }

  /** All of the list that are not over, as many as one deed may name; or none. */
  toggleAll(): void {
    this.toggleThese(this.list.filter((one) => canDo('resolve', one)).slice(0, ALERTS_MAX));
  }

  async act(deed: Deed, ids: string[], reason: string, until?: string): Promise<void> {
    await alertApi.act(deed, ids, reason, until);
    this.unchoose(ids);
    await this.#again();
  }

  stop(): void {
    this.#abort.abort();
  }

  /** One question at a time; a later one takes the place of an earlier one. */
  async #fetch(limit: number, after: string | undefined, use: (page: AlertPage) => void): Promise<void> {
    this.#abort.abort();
    const mine = (this.#abort = new AbortController());
    this.#asking = true;
    try {
      const page = await alertApi.list(this.#wanted, limit, after, mine.signal);
      if (mine.signal.aborted) return;
      use(page);
      this.counts = page.counts;
      this.failure = null;
    } catch (error) {
      if (!isAbort(error)) this.failure = asApiError(error);
    } finally {
      if (this.#abort === mine) this.#asking = false;
    }
  }

  #show(list: Alert[], page: AlertPage): void {
    this.put(list);
    this.more = page.more;
    this.loaded = true;
    this.#current = true;
  }
}

export const alerts = new Alerts();
