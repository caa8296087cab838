import { download } from './actions';
import { ApiError, isAbort, request, scopeParams } from './api';
import { notice } from './notice.svelte';
import { bytes } from './numbers';
import { asApiError, search } from './search.svelte';
import { view } from './view.svelte';

const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;
/** The browser holds the file until it is whole; what is larger belongs to `attestry search --json` or `attestry export`. */
export const MAX_BYTES = 1 << 30;

/** The export of what is searched: as many events as the count says, streamed into a file. */
class Exporter {
  /** Bytes received; null when none runs. */
  received: number | null = $state(null);
  failure: ApiError | null = $state.raw(null);
  #abort = new AbortController();

  async run(format: keyof typeof TYPES): Promise<void> {
    if (this.received !== null) return;
    this.#abort = new AbortController();
    this.received = 0;
    this.failure = null;
    try {
      const params = scopeParams(search.scope, { order: view.now.order, limit: 0 });
      const response = await request(`/events?${params}`, {
        headers: { Accept: TYPES[format] },
        signal: this.#abort.signal,
      });
      const parts: BlobPart[] = [];
      const reader = response.body?.getReader();
      for (;;) {
        const turn = await reader?.read();
        if (!turn || turn.done) break;
        parts.push(turn.value);
        this.received += turn.value.length;
        if (this.received > MAX_BYTES) {
          this.stop();
          throw new ApiError(
            0,
            'The export is too large for the browser',
            'use attestry search --json or attestry export',
          );
        }
      }
      const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '');
      download(`attestry-${stamp}.${format}`, parts, TYPES[format]);
      notice.say(`Exported ${bytes(this.received)}`);
    } catch (error) {
      if (isAbort(error)) notice.say('Export stopped; nothing was saved');
      else this.failure = asApiError(error);
    } finally {
      this.received = null;
    }
  }

  stop(): void {
    this.#abort.abort();
  }
}

export const exporter = new Exporter();
