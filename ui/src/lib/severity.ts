import { scalarText, type JsonObject } from './json';

/** RFC 5424, section 6.2.1. */
export const SEVERITIES = [
  'emergency',
  'alert',
  'critical',
  'error',
  'warning',
  'notice',
  'informational',
  'debug',
];

export type Tone = 'bad' | 'warn' | 'plain';

/** Red for failure and violation, amber for warnings and gaps, nothing for the rest. */
export function toneOf(event: JsonObject): Tone {
  const name = scalarText(event.get('event_name'));
  const severity = event.get('severity');
  const level = typeof severity === 'number' ? severity : 7;
  if (event.get('outcome') === 'failure' || level <= 3 || name.startsWith('violation.')) return 'bad';
  if (level === 4 || name.startsWith('gap.')) return 'warn';
  return 'plain';
}

export function toneLabel(event: JsonObject): string {
  const parts = [scalarText(event.get('outcome'))];
  const severity = event.get('severity');
  if (typeof severity === 'number') parts.push(SEVERITIES[severity] ?? String(severity));
  return parts.filter((part) => part !== '').join(', ');
}

/** CSS variables of the stack's layers, in order. `value` '' stands for events without the field. */
export function layerColor(field: string, value: string, place: number): string {
  if (value === '') return '--layer-none';
  if (field === 'outcome')
    return value === 'failure' ? '--bad' : value === 'success' ? '--layer-ok' : '--layer-2';
  if (field === 'severity') {
    const level = Number(value);
    if (level <= 3) return '--bad';
    if (level === 4) return '--warn';
    return ['--layer-1', '--layer-ok', '--layer-none'][level - 5] ?? '--layer-ok';
  }
  return `--layer-${(place % 8) + 1}`;
}
