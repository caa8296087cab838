/** What the page says of reports. */
import type { MadeReport, Planned } from './report-api';

const UNITS: [string, string, number][] = [
  ['d', 'day', 86_400],
  ['h', 'hour', 3600],
  ['m', 'minute', 60],
  ['s', 'second', 1],
];

/** `7 days`. */
export function windowWords(seconds: number): string {
  const [, name, unit] = UNITS.find(([, , unit]) => seconds % unit === 0) ?? ['s', 'second', 1];
  const n = seconds / unit;
  return `${n} ${name}${n === 1 ? '' : 's'}`;
}

/** A begin relative to now, as the API takes it. */
export function windowBound(seconds: number): string {
  const [letter, , unit] = UNITS.find(([, , unit]) => seconds % unit === 0) ?? ['s', 'second', 1];
  return `-${seconds / unit}${letter}`;
}

/** Who made a report: a user; else Attestry itself when it was due, or whoever may use the command line. */
export const makerWords = ({ by, schedule }: Pick<MadeReport, 'by' | 'schedule'>) =>
  by !== '-' ? by : schedule ? 'Attestry' : 'command line';

/** Where a scheduled report goes. */
export function targets({ folder, sinks = [] }: Planned): string {
  return [...(folder ? [folder] : []), ...sinks].join(', ') || 'nowhere: kept in the history';
}

/** How it is protected on its way. */
export function protection({ sign_with: signer, encrypt_to: readers = [] }: Planned): string {
  const signed = signer ? [`signed by ${signer}`] : [];
  const sealed = readers.length > 0 ? [`for ${readers.join(', ')} only`] : [];
  return [...signed, ...sealed].join(', ');
}

/** To begin with. */
export const CRON_EXAMPLES = [
  ['0 6 * * *', 'each day at 6'],
  ['0 6 * * 1', 'Mondays at 6'],
  ['0 6 1 * *', 'the first of each month at 6'],
  ['0 * * * *', 'each hour'],
] as const;
