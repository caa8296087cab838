import { readAddress, writeAddress, type Address, type PageName } from './address';
import { prefs } from './prefs.svelte';
import { asksForSearches, withoutSearches } from './query';
import { ALL_TIME, type Range } from './time';

/** What is looked at. Changing it changes the address; the browser's back button changes it back. */
class View {
  #now: Address = $state.raw(readAddress(location.pathname, location.search, prefs.range ?? ALL_TIME));
  /** Ranges to return to by a double click on the histogram. */
  #zooms: Range[] = [];

  #read(): Address {
    return readAddress(location.pathname, location.search, prefs.range ?? ALL_TIME);
  }

  get now(): Address {
    return this.#now;
  }

  /** Whether the record of searches is part of what is shown. */
  get withSearches(): boolean {
    return this.#now.searches || asksForSearches(this.#now.q);
  }

  /** The query as it is sent. */
  get query(): string {
    return this.withSearches ? this.#now.q : withoutSearches(this.#now.q);
  }

  /** `replace` is for what nobody would want to go back through, such as a column's width. */
  set(change: Partial<Address>, replace = false): void {
    const next = { ...this.#now, ...change };
    const address = writeAddress(next);
    this.#now = next;
    if (address === location.pathname + location.search) return;
    if (replace) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
  }

  go(page: PageName): void {
    if (page !== this.#now.page)
      this.set({ page, event: '', live: false, cell: '', violation: '', alert: '', report: '' });
  }

  /** From another page to everything that a query finds, at any time, in all ledgers. */
  search(q: string): void {
    this.set({ page: 'search', q, range: ALL_TIME, ledgers: [], event: '', violation: '', live: false });
  }

  /** A range that a person chose: it is also where the next visit starts. */
  setRange(range: Range): void {
    this.#zooms = [];
    prefs.range = range;
    this.set({ range, live: this.#now.live && range.to === 'now' });
  }

  zoom(range: Range): void {
    this.#zooms.push(this.#now.range);
    this.set({ range, live: false });
  }

  /** False when there is nothing to go back to. */
  unzoom(): boolean {
    const range = this.#zooms.pop();
    if (range) this.set({ range });
    return range !== undefined;
  }

  get link(): string {
    return location.origin + writeAddress(this.#now);
  }

  start(): void {
    addEventListener('popstate', () => (this.#now = this.#read()));
    if (this.#now.page !== 'setup') history.replaceState(null, '', writeAddress(this.#now));
  }
}

export const view = new View();
