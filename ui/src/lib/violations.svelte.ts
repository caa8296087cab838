import { isAbort, type ApiError } from './api';
import { merge } from './databases';
import { Picked } from './picked.svelte';
import { asApiError } from './search.svelte';
import {
  VIOLATIONS_MAX,
  watchApi,
  type Unreadable,
  type Violation,
  type ViolationPage,
  type Wanted,
} from './watch-api';

/** Fetched at once; the table asks for more before its end comes into sight. */
const PAGE = 200;

/** The violations on the page, what is chosen among them, and where the keys are. */
class Violations extends Picked<Violation> {
  /** New ones that are not shown while somebody reads. */
  waiting: Violation[] = $state.raw([]);
  /** Somebody reads: nothing new comes in above. */
  hold = $state(false);
  /** Watches that the list lacks: their copies cannot be read. */
  unreadable: Unreadable[] = $state.raw([]);
  failure: ApiError | null = $state.raw(null);
  /** What is chosen was asked for, and answered. */
  loaded = $state(false);
  #wanted: Wanted = { watch: '', table: '', state: 'pending' };
  #abort = new AbortController();
  #asking = false;
  /** The list is of what is wanted now, not of what was wanted before. */
  #current = false;

  constructor() {
    super((one) => one.fingerprint);
  }

  /** Another choice; what was shown stays until its successor is here. */
  async ask(wanted: Wanted): Promise<void> {
    this.#wanted = wanted;
    this.#current = false;
    this.unpick();
    this.waiting = [];
    await this.#fetch(PAGE, undefined, (page) =>
      this.#show({ list: page.violations, waiting: [] }, page.more),
    );
  }

  /** The same again: what is new, what was signed off. */
  async refresh(): Promise<void> {
    // A slow answer is waited for: asking again would only begin it anew.
    if (!this.#asking) await this.#again();
  }

  async #again(): Promise<void> {
    const known = this.#current ? this.list : [];
    const limit = Math.min(VIOLATIONS_MAX, Math.max(PAGE, known.length));
    await this.#fetch(limit, undefined, (page) => {
      const reached = known.length <= page.violations.length;
      this.#show(merge(known, page, this.hold), reached ? page.more : this.more && page.more);
    });
  }

  /** What is older than the last one shown. */
  async next(): Promise<void> {
    const last = this.list.at(-1);
    if (!this.#current || !this.more || this.loadingMore || !last || this.failure) return;
    this.loadingMore = true;
    await this.#fetch(PAGE, last.fingerprint, (page) => {
      this.append(page.violations);
      this.more = page.more;
    });
    this.loadingMore = false;
  }

  /** Shows what waits. */
  settle(): void {
    this.list = [...this.waiting, ...this.list];
    this.waiting = [];
  }

  /** All pending ones of the list, as many as one sign-off may name; or none. */
  toggleAll(): void {
    this.toggleThese(this.list.filter((one) => !one.signed_off).slice(0, VIOLATIONS_MAX));
  }

  async signOff(fingerprints: string[], reason: string): Promise<void> {
    await watchApi.signOff(fingerprints, reason);
    const done = new Set(fingerprints);
    this.unchoose(fingerprints);
    if (this.#wanted.state === 'pending')
      this.list = this.list.filter(({ fingerprint }) => !done.has(fingerprint));
    await this.#again();
  }

  stop(): void {
    this.#abort.abort();
  }

  /** One question at a time; a later one takes the place of an earlier one. */
  async #fetch(limit: number, after: string | undefined, use: (page: ViolationPage) => void): Promise<void> {
    this.#abort.abort();
    const mine = (this.#abort = new AbortController());
    this.#asking = true;
    try {
      const page = await watchApi.violations(this.#wanted, limit, after, mine.signal);
      if (mine.signal.aborted) return;
      use(page);
      this.unreadable = page.unreadable ?? [];
      this.failure = null;
    } catch (error) {
      if (!isAbort(error)) this.failure = asApiError(error);
    } finally {
      if (this.#abort === mine) this.#asking = false;
    }
  }

  #show({ list, waiting }: { list: Violation[]; waiting: Violation[] }, more: boolean): void {
    this.put(list);
    this.waiting = waiting;
    this.more = more;
    this.loaded = true;
    this.#current = true;
  }
}

export const violations = new Violations();
