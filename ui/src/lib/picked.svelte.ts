/** A list in which the keys act on one row and several can be chosen; it goes on as it is read. */
export abstract class Picked<T> {
  list: T[] = $state.raw([]);
  /** There are older ones. */
  more = $state(false);
  loadingMore = $state(false);
  /** Ids of the rows that are chosen. */
  chosen: ReadonlySet<string> = $state.raw(new Set<string>());
  /** The id of the row that the keys act on; '' for none. */
  cursor = $state('');
  /** Where the cursor was last, for when its row leaves the list. */
  #place = -1;
  readonly idOf: (one: T) => string;

  constructor(idOf: (one: T) => string) {
    this.idOf = idOf;
  }

  /** Fetches what is older than the last one of the list. */
  abstract next(): Promise<void>;

  /** All of the list that a deed can be done to, as many as one deed may name; or none. */
  abstract toggleAll(): void;

  find(id: string): number {
    return id === '' ? -1 : this.list.findIndex((one) => this.idOf(one) === id);
  }

  /** Moves the cursor; where its row has left the list, from there. */
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
    this.cursor = this.idOf(one);
  }

  toggle(id: string): void {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(id)) chosen.add(id);
    this.chosen = chosen;
  }

  /** All of these, or none when all of them are chosen. */
  protected toggleThese(these: T[]): void {
    const ids = these.map(this.idOf);
    this.chosen = new Set(ids.every((id) => this.chosen.has(id)) ? [] : ids);
  }

  protected unchoose(ids: string[]): void {
    const done = new Set(ids);
    this.chosen = new Set([...this.chosen].filter((id) => !done.has(id)));
  }

  /** Puts another list in place; what left it is not chosen any more. */
  protected put(list: T[]): void {
    this.list = list;
    const here = new Set(list.map(this.idOf));
    this.chosen = new Set([...this.chosen].filter((id) => here.has(id)));
  }

  /** Adds older ones, but for those that are here already. */
  protected append(older: T[]): void {
    const known = new Set(this.list.map(this.idOf));
    this.list = [...this.list, ...older.filter((one) => !known.has(this.idOf(one)))];
  }

  /** Before another list is asked for. */
  protected unpick(): void {
    this.chosen = new Set();
    this.#place = -1;
    this.cursor = '';
  }
}
