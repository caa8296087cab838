/** What the query line offers at the caret. */
import { api, type FieldInfo } from './api';
import { count } from './numbers';
import { completionAt, fieldName, quote, type Completion } from './query';

const SHOWN = 12;
const KEYWORDS = ['AND', 'OR', 'NOT'];

export interface Offer {
  label: string;
  /** What takes the place of the text from `start` to `end`. */
  insert: string;
  detail: string;
}

export interface Offers {
  start: number;
  end: number;
  items: Offer[];
}

/** Offers that need no server: fields, operators. Null where nothing can be completed. */
export function localOffers(query: string, caret: number, fields: FieldInfo[]): Offers | null {
  const at = completionAt(query, caret);
  if (!at) return null;
  const { start, end, prefix } = at;
  if (at.kind === 'value') return { start, end, items: operators(at, fields) };
  const low = prefix.toLowerCase();
  const score = (name: string) => {
    const n = name.toLowerCase();
    if (n.startsWith(low)) return 0;
    // `status` finds event_data.http.status.
    if (n.includes(`.${low}`)) return 1;
    return n.includes(low) ? 2 : 3;
  };
  const found = fields
    .map((field, place) => ({ field, rank: score(field.name), place }))
    .filter((f) => f.rank < 3)
    .sort((a, b) => a.rank - b.rank || a.place - b.place)
    .slice(0, SHOWN)
    .map(({ field }) => ({ label: field.name, insert: `${fieldName(field.name)}:`, detail: field.kind }));
  const words =
    query.slice(0, start).trim() === '' && prefix === ''
      ? []
      : KEYWORDS.filter((word) => prefix !== '' && word.startsWith(prefix)).map((word) => ({
          label: word,
          insert: `${word} `,
          detail: 'operator',
        }));
  return { start, end, items: [...words, ...found] };
}

function operators(at: Completion, fields: FieldInfo[]): Offer[] {
  if (at.prefix !== '') return [];
  const kind = fields.find((field) => field.name === at.field)?.kind;
  const ordered = kind === 'number' || kind === 'time' || kind === 'mixed';
  return [
    { label: '*', insert: '* ', detail: 'the field is there' },
    ...(ordered
      ? [
          { label: '>=', insert: '>=', detail: 'at least' },
          { label: '<', insert: '<', detail: 'less than' },
          { label: '[a TO b]', insert: '[', detail: 'a range' },
        ]
      : []),
  ];
}

/** The field's values that begin as what is typed, most frequent first. */
export async function valueOffers(
  query: string,
  caret: number,
  ledgers: string[],
  signal: AbortSignal,
): Promise<Offers | null> {
  const at = completionAt(query, caret);
  if (!at || at.kind !== 'value' || at.field === undefined) return null;
  const values = await api.values(ledgers, at.field, at.prefix, SHOWN, signal);
  return {
    start: at.start,
    end: at.end,
    items: values.map(({ value, count: n }) => ({
      label: value,
      insert: `${quote(value)} `,
      detail: count(n),
    })),
  };
}
