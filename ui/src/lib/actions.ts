/** What a reader does with a value or an event; used by the table, the drawer, the field list and the keys. */
import { api, type Row } from './api';
import { scalarText } from './json';
import { notice } from './notice.svelte';
import { addFilter, quote } from './query';
import { search } from './search.svelte';
import { view } from './view.svelte';

const ACTOR_MS = 5 * 60_000;
const TIMES = new Set(['event_time', 'received_at']);

export function filterBy(field: string, value: string | null, out: boolean): void {
  if (value !== null && TIMES.has(field) && !out) {
    around(value, 60_000);
    return;
  }
  const q = addFilter(search.draft, { field, value, out });
  search.draft = q;
  view.set({ q });
}

/** The time range around an instant; the rest of the view stays. */
function around(time: string, millis: number): void {
  const at = Date.parse(time);
  if (isNaN(at)) return;
  view.zoom({ from: new Date(at - millis).toISOString(), to: new Date(at + millis).toISOString() });
}

export function sameRequest(row: Row): void {
  const id = row.event.get('request_id');
  if (typeof id !== 'string') return;
  setQuery(`request_id:${quote(id)}`);
}

export function sameActor(row: Row): void {
  const q = `username:${quote(scalarText(row.event.get('username')))}`;
  search.draft = q;
  const at = Date.parse(scalarText(row.event.get('event_time')));
  view.zoom({ from: new Date(at - ACTOR_MS).toISOString(), to: new Date(at + ACTOR_MS).toISOString() });
  view.set({ q });
}

export function setQuery(q: string): void {
  search.draft = q;
  view.set({ q });
}

export function hasColumn(field: string): boolean {
  return view.now.columns.some((column) => column.field === field);
}

export function toggleColumn(field: string): void {
  const { columns } = view.now;
  if (hasColumn(field)) {
    view.set({ columns: columns.filter((column) => column.field !== field) });
    return;
  }
  // Before the column that takes what is left over, which is best at the right edge.
  const flexible = columns.findIndex((column) => column.width === 0);
  const at = flexible < 0 ? columns.length : flexible;
  view.set({ columns: [...columns.slice(0, at), { field, width: 140 }, ...columns.slice(at)] });
}

export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notice.say(`${what} copied`);
  } catch {
    // Browsers give the clipboard only to pages from https or this machine.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'offscreen';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    notice.say(done ? `${what} copied` : 'The browser did not allow copying');
  }
}

export function download(name: string, content: BlobPart[], type: string): void {
  const address = URL.createObjectURL(new Blob(content, { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The exact bytes that are hashed, not a printing of them. */
export async function downloadEntry(row: Row, name: string): Promise<void> {
  const bytes = await api.raw(row.ledger, row.index);
  download(name, [new Uint8Array(bytes).buffer], 'application/json');
}
