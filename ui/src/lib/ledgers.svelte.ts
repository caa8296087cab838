import { api, type ApiError, type Ledger } from './api';
import { asApiError } from './search.svelte';

const POLL_MS = 700;

/** The ledgers this reader may see. */
class Ledgers {
  list: Ledger[] = $state.raw([]);
  failure: ApiError | null = $state.raw(null);
  loaded = $state(false);
  #polling = false;

  async load(): Promise<void> {
    try {
      this.list = await api.ledgers();
      this.failure = null;
      this.loaded = true;
    } catch (error) {
      this.failure = asApiError(error);
    }
  }

  async verify(name: string): Promise<void> {
    try {
      await api.verifyLedger(name);
      await this.load();
      await this.follow();
    } catch (error) {
      this.failure = asApiError(error);
    }
  }

  /** Looks again while a verification runs, whoever started it. */
  async follow(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    while (this.failure === null && this.list.some((ledger) => ledger.last_verify?.running)) {
      await new Promise((done) => setTimeout(done, POLL_MS));
      await this.load();
    }
    this.#polling = false;
  }
}

export const ledgers = new Ledgers();
