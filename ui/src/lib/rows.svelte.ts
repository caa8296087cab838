/** Drawn above and below the window. */
const OVERSCAN = 12;

/** Which rows of a long list are drawn; all are of the same height. */
export class RowWindow {
  /** Pixels, of what scrolls. */
  top = $state(0);
  height = $state(600);
  readonly #rowPx: () => number;
  readonly #count: () => number;

  constructor(rowPx: () => number, count: () => number) {
    this.#rowPx = rowPx;
    this.#count = count;
  }

  get first(): number {
    return Math.max(0, Math.floor(this.top / this.#rowPx()) - OVERSCAN);
  }

  /** One behind the last that is drawn. */
  get last(): number {
    return Math.min(this.#count(), Math.ceil((this.top + this.height) / this.#rowPx()) + OVERSCAN);
  }

  /** So many rows are seen at once. */
  get page(): number {
    return Math.max(1, Math.floor(this.height / this.#rowPx()) - 2);
  }

  /** Scrolls so far that the row is seen; a head covers the first `headPx`. */
  reveal(scroller: HTMLElement, place: number, headPx: number): void {
    const at = place * this.#rowPx();
    const room = scroller.clientHeight - headPx;
    if (at < scroller.scrollTop) scroller.scrollTop = at;
    else if (at + this.#rowPx() > scroller.scrollTop + room) scroller.scrollTop = at + this.#rowPx() - room;
  }
}
