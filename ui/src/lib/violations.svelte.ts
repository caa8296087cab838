import { isAbort, type ApiError } from './api';
import { merge } from './databases';
import { asApiError } from './search.svelte';
import { VIOLATIONS_MAX, watchApi, type Violation, type ViolationPage, type Wanted } from './watch-api';

/** Fetched at once; the table asks for more before its end comes into sight. */
const PAGE = 200;

/** The violations on the page, what is chosen among them, and where the keys are. */
class Violations {
  list: Violation[] = $state.raw([]);
  /** There are older ones. */
  more = $state(false);
  /** New ones that are not shown while somebody reads. */
  waiting: Violation[] = $state.raw([]);
  /** Somebody reads: nothing new comes in above. */
  hold = $state(false);
  failure: ApiError | null = $state.raw(null);
  /** What is chosen was asked for, and answered. */
  loaded = $state(false);
  loadingMore = $state(false);
  /** Fingerprints. */
  chosen: ReadonlySet<string> = $state.raw(new Set<string>());
  /** The one the keys act on. */
  cursor = $state('');
  #wanted: Wanted = { watch: '', table: '', state: 'pending' };
  #abort = new AbortController();
  #asking = false;
  /** The list is of what is wanted now, not of what was wanted before. */
  #current = false;
  /** Where the cursor was last, for when its violation leaves the list. */
  #place = -1;

  find(fingerprint: string): number {
    return fingerprint === '' ? -1 : this.list.findIndex((one) => one.fingerprint === fingerprint);
  }

  /** Another choice; what was shown stays until its successor is here. */
  async ask(wanted: Wanted): Promise<void> {
    this.#wanted = wanted;
    this.#current = false;
    this.chosen = new Set();
    this.waiting = [];
    this.#place = -1;
    this.cursor = '';
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
      const known = new Set(this.list.map(({ fingerprint }) => fingerprint));
      this.list = [...this.list, ...page.violations.filter(({ fingerprint }) => !known.has(fingerprint))];
      this.more = page.more;
    });
    this.loadingMore = false;
  }

  /** Shows what waits. */
  settle(): void {
    this.list = [...this.waiting, ...this.list];
    this.waiting = [];
  }

  /** Moves the cursor; where its violation has left the list, from there. */
  step(by: number): void {
    const at = this.find(this.cursor);
    const from = at >= 0 ? at : by > 0 ? this.#place - 1 : this.#place;
    this.moveTo(from + by);
  }

  moveTo(place: number): void {
    const at = Math.max(0, Math.min(this.list.length - 1, place));
    const one = this.list[at];
    if (!one) return;
    this.#place = at;
    this.cursor = one.fingerprint;
  }

  toggle(fingerprint: string): void {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(fingerprint)) chosen.add(fingerprint);
    this.chosen = chosen;
  }

  /** All pending ones of the list, as many as one sign-off may name; or none. */
  toggleAll(): void {
    const pending = this.list.filter((one) => !one.signed_off).slice(0, VIOLATIONS_MAX);
    const all = pending.every(({ fingerprint }) => this.chosen.has(fingerprint));
    this.chosen = new Set(all ? [] : pending.map(({ fingerprint }) => fingerprint));
  }

  async signOff(fingerprints: string[], reason: string): Promise<void> {
    await watchApi.signOff(fingerprints, reason);
    const done = new Set(fingerprints);
    this.chosen = new Set([...this.chosen].filter((one) => !done.has(one)));
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
      this.failure = null;
    } catch (error) {
      if (!isAbort(error)) this.failure = asApiError(error);
    } finally {
      if (this.#abort === mine) this.#asking = false;
    }
  }

  #show({ list, waiting }: { list: Violation[]; waiting: Violation[] }, more: boolean): void {
    this.list = list;
    this.waiting = waiting;
    this.more = more;
    this.loaded = true;
    this.#current = true;
    const here = new Set(list.map(({ fingerprint }) => fingerprint));
    this.chosen = new Set([...this.chosen].filter((one) => here.has(one)));
  }
}

export const violations = new Violations();
