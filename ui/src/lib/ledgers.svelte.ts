import { api, type ApiError, type Ledger } from './api';
import { asApiError } from './search.svelte';

const POLL_MS = 700;
/** A verification that takes longer goes on by itself; its result is there at the next visit. */
const POLL_TURNS = 600;

/** The ledgers this reader may see. */
class Ledgers {
  list: Ledger[] = $state.raw([]);
  failure: ApiError | null = $state.raw(null);
  loaded = $state(false);
  /** Names of those that are being verified. */
  verifying: string[] = $state([]);

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
    if (this.verifying.includes(name)) return;
    const before = this.#lastVerify(name);
    this.verifying = [...this.verifying, name];
    try {
      await api.verifyLedger(name);
      for (let turn = 0; turn < POLL_TURNS && this.#lastVerify(name) === before; turn++) {
        await new Promise((done) => setTimeout(done, POLL_MS));
        await this.load();
        if (this.failure) break;
      }
    } catch (error) {
      this.failure = asApiError(error);
    } finally {
      this.verifying = this.verifying.filter((n) => n !== name);
    }
  }

  #lastVerify(name: string): string {
    return this.list.find((ledger) => ledger.name === name)?.last_verify?.time ?? '';
  }
}

export const ledgers = new Ledgers();
