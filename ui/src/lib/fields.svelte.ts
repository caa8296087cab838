import { SvelteMap } from 'svelte/reactivity';
import { api, ApiError, isAbort, type FieldInfo, type Top } from './api';
import { asApiError, search } from './search.svelte';

const TOP_VALUES = 5;
/** Paths appear as events arrive; the list of them is asked for again after this long. */
const FRESH_MS = 30_000;

/** What is looked at most stands first; what differs in every event stands last. */
const FIRST = [
  'event_name',
  'username',
  'resource',
  'event_source',
  'outcome',
  'severity',
  'host',
  'source_ip_address',
];
const LAST = ['agent', 'agent_epoch', 'agent_seq', 'event_id', 'event_time', 'received_at'];

function inOrder(list: FieldInfo[]): FieldInfo[] {
  const rank = ({ name }: FieldInfo) => {
    if (FIRST.includes(name)) return FIRST.indexOf(name);
    if (LAST.includes(name)) return 50 + LAST.indexOf(name);
    return name.startsWith('event_data.') ? 99 : 40;
  };
  return list.toSorted((a, b) => rank(a) - rank(b));
}

/** The fields there are, and the top values of those that are open. */
class Fields {
  list: FieldInfo[] = $state.raw([]);
  failure: ApiError | null = $state.raw(null);
  tops = new SvelteMap<string, Top | ApiError>();

  #loadedAt = -Infinity;
  #abort = new AbortController();
  #of = new Map<string, number>();

  kind(field: string): string {
    return this.list.find((f) => f.name === field)?.kind ?? 'keyword';
  }

  async load(): Promise<void> {
    if (performance.now() - this.#loadedAt < FRESH_MS) return;
    this.#loadedAt = performance.now();
    try {
      this.list = inOrder(await api.fields());
      this.failure = null;
    } catch (error) {
      this.#loadedAt = -Infinity;
      this.failure = asApiError(error);
    }
  }

  /** Values for the search that is shown; those of the last one stay until they are here. */
  async loadTops(open: string[], generation: number): Promise<void> {
    const wanted = open.filter((field) => this.#of.get(field) !== generation);
    if (wanted.length === 0) return;
    if ([...this.#of.values()].some((g) => g !== generation)) {
      this.#abort.abort();
      this.#abort = new AbortController();
    }
    const { signal } = this.#abort;
    for (const field of wanted) this.#of.set(field, generation);
    await Promise.all(
      wanted.map(async (field) => {
        try {
          this.tops.set(field, await api.top(search.scope, field, TOP_VALUES, signal));
        } catch (error) {
          if (!isAbort(error)) this.tops.set(field, asApiError(error));
        }
      }),
    );
  }
}

export const fields = new Fields();
