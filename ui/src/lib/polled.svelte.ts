import { serverNow, type ApiError } from './api';
import { asApiError } from './search.svelte';

/** What the server says of something, asked anew every so often while a component is there. */
export class Polled<T> {
  /** None before the first answer. */
  value: T | null = $state.raw(null);
  /** Why the last question had no answer. */
  failure: ApiError | null = $state.raw(null);
  /** The server's time of the last answer. */
  now = $state(serverNow());
  readonly #ask: () => Promise<T>;

  /** Call it while a component begins. Without `everyMs` it asks once. */
  constructor(ask: () => Promise<T>, everyMs?: number) {
    this.#ask = ask;
    $effect(() => {
      void this.load();
      if (everyMs === undefined) return;
      const timer = setInterval(() => void this.load(), everyMs);
      return () => clearInterval(timer);
    });
  }

  /** Asks now. */
  readonly load = async (): Promise<void> => {
    try {
      this.value = await this.#ask();
      this.now = serverNow();
      this.failure = null;
    } catch (error) {
      this.failure = asApiError(error);
    }
  };

  /** Does something, and asks what became of it. */
  async after(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      await this.load();
    } catch (error) {
      this.failure = asApiError(error);
    }
  }
}
