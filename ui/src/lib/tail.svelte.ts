import { api, ApiError, parseRow, type Row } from './api';
import { search } from './search.svelte';
import { view } from './view.svelte';

/** Rows are put into the list this often, so that a burst costs one drawing. */
const FLUSH_MS = 150;
/** More than this is not kept for a reader who is away; the number goes on counting. */
const WAITING_ROWS = 5000;

/** The live tail: new events join the list, or wait and are counted while the reader is elsewhere in it. */
class Tail {
  state: 'off' | 'connecting' | 'live' | 'lost' = $state('off');
  waiting = $state(0);
  /** How many the server left out because this page was too slow. */
  dropped = $state(0);
  /** The reader scrolled away from the newest row, or has one open. */
  paused = $state(false);

  #source: EventSource | null = null;
  #fresh: Row[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  start(): void {
    this.stop();
    this.state = 'connecting';
    this.dropped = 0;
    const source = api.tail({ q: view.query, ledgers: view.now.ledgers });
    this.#source = source;
    source.addEventListener('open', () => {
      // The list is read after the stream is open: what lies between is in both, and shown once. A connection that was
      // lost goes on behind the last event (`Last-Event-ID`), so the list needs no second reading.
      const first = this.state === 'connecting';
      this.state = 'live';
      if (first) void search.run();
    });
    source.addEventListener('error', () => (this.state = 'lost'));
    source.addEventListener('event', (message) => this.#take((message as MessageEvent<string>).data));
    source.addEventListener('dropped', (message) => {
      this.dropped += (JSON.parse((message as MessageEvent<string>).data) as { count: number }).count;
    });
    source.addEventListener('end', (message) => {
      const { title, detail } = JSON.parse((message as MessageEvent<string>).data) as {
        title: string;
        detail: string;
      };
      search.failure = new ApiError(0, title, detail);
      view.set({ live: false });
    });
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  stop(): void {
    this.#source?.close();
    this.#source = null;
    clearInterval(this.#timer);
    this.#fresh = [];
    this.waiting = 0;
    this.state = 'off';
  }

  /** Shows what waited. */
  resume(): void {
    this.paused = false;
    this.#flush();
  }

  #take(data: string): void {
    this.#fresh.push(parseRow(data));
    if (this.#fresh.length > WAITING_ROWS) this.#fresh.shift();
    this.waiting++;
  }

  #flush(): void {
    if (this.paused || this.#fresh.length === 0 || search.since !== null) return;
    const fresh = this.#fresh.reverse();
    this.#fresh = [];
    if (this.waiting > fresh.length) void search.run();
    else search.prepend(fresh);
    this.waiting = 0;
  }
}

export const tail = new Tail();
