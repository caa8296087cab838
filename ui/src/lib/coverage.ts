/** What came and what did not, per host, source and hour: how hours become cells, and what a cell says. */
import type { Coverage, CoverageRow, Gap } from './api';
import { count, events } from './numbers';
import { boundMillis, span, type Range } from './time';

const HOUR_MS = 3_600_000;
const DAYS_MAX = 31;
/** So many hours may be one cell when there are more than fit. */
const STEPS = [1, 2, 3, 4, 6, 12, 24];
/** Below this part of what was expected, a cell has too few events. */
const FEW = 0.8;

export interface Cell {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
  seen: number;
  /** Null: nobody knows. */
  expected: number | null;
  missing: number;
  /** Something is missing, and nobody knows how much. */
  uncounted: boolean;
  silentS: number;
  gaps: Gap[];
}

/** The worst that a cell has to tell. */
export type CellState = 'silent' | 'missing' | 'few' | 'gap' | 'seen' | 'none';

/** How many hours a cell spans so that all of them fit into the width. */
export function stepFor(hours: number, width: number, least: number): number {
  return STEPS.find((step) => Math.ceil(hours / step) * least <= width) ?? 24;
}

export function fold(coverage: Coverage, row: CoverageRow, step: number): Cell[] {
  const start = Date.parse(coverage.from);
  const cells: Cell[] = [];
  for (let hour = 0; hour < coverage.hours; hour += step) {
    const end = Math.min(hour + step, coverage.hours);
    const sum = (list: number[] | undefined) => (list ?? []).slice(hour, end).reduce((a, b) => a + b, 0);
    const expected = (row.expected ?? []).slice(hour, end).filter((n) => n !== null);
    const gaps = (row.gaps ?? []).filter((gap) => gap.hour >= hour && gap.hour < end);
    cells.push({
      from: start + hour * HOUR_MS,
      to: start + end * HOUR_MS,
      seen: sum(row.seen),
      expected: expected.length > 0 ? expected.reduce((a, b) => a + b, 0) : null,
      missing: sum(row.missing),
      uncounted: gaps.some((gap) => gap.missing === null),
      silentS: sum(row.silent_s),
      gaps,
    });
  }
  return cells;
}

export function cellState(cell: Cell): CellState {
  if (cell.missing > 0 || cell.uncounted) return 'missing';
  if (cell.silentS > 0) return 'silent';
  if (cell.expected !== null && cell.seen < cell.expected * FEW) return 'few';
  if (cell.gaps.length > 0) return 'gap';
  return cell.seen > 0 ? 'seen' : 'none';
}

/** 1 to 4: how much a cell has beside the fullest one of its row. */
export function level(seen: number, most: number): number {
  if (seen <= 0 || most <= 0) return 0;
  return Math.max(1, Math.ceil((4 * Math.log1p(seen)) / Math.log1p(most)));
}

/** `312 events, 60 expected; 5 missing; silent for 12 min`. */
export function cellWords(cell: Cell): string {
  const words = [events(cell.seen)];
  if (cell.expected !== null) words.push(`${count(cell.expected)} expected`);
  const said = [words.join(', ')];
  if (cell.missing > 0) said.push(`${cell.uncounted ? 'at least ' : ''}${count(cell.missing)} missing`);
  else if (cell.uncounted) said.push('some missing, nobody knows how many');
  if (cell.silentS > 0) said.push(`silent for ${span(cell.silentS)}`);
  const told = cell.gaps.filter((gap) => gap.missing === 0).length;
  if (told > 0) said.push(`${count(told)} ${told === 1 ? 'note' : 'notes'}`);
  return said.join('; ');
}

export const hasGaps = (row: CoverageRow) =>
  [row.missing, row.silent_s].some((list) => list?.some((n) => n > 0)) || (row.gaps?.length ?? 0) > 0;

/** The range as coverage takes it, and whether that is less than was asked for. */
export function coverageRange(range: Range, now: number): { from: string; to: string; less: boolean } {
  const to = Math.max(1, boundMillis(range.to === '' ? 'now' : range.to, now) ?? now);
  const asked = boundMillis(range.from, now);
  const least = to - DAYS_MAX * 24 * HOUR_MS;
  const from = Math.min(asked === null ? least : Math.max(asked, least), to - 1);
  const less = asked === null || asked < least;
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), less };
}

/** A query for exactly this host and source; an empty one stands for a field that is not there. */
export function rowQuery(host: string, source: string): string {
  const term = (field: string, value: string) =>
    value === ''
      ? `-${field}:*`
      : `${field}:${/^[\w.-]+$/.test(value) && !value.startsWith('-') ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`}`;
  return [term('host', host), term('event_source', source)].join(' ');
}
