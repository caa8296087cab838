/** What the page says of alerts, and how its list goes on. */
import type { Alert, AlertPage, AlertStates, Deed } from './alert-api';
import { legible } from './legible';
import { count } from './numbers';
import { quote } from './query';

export const alertWords = (n: number) => `${count(n)} ${n === 1 ? 'alert' : 'alerts'}`;

export const STATE_WORDS: Record<AlertStates, string> = {
  active: 'Active',
  open: 'Open',
  acknowledged: 'Acknowledged',
  silenced: 'Silenced',
  resolved: 'Resolved',
  all: 'All',
};

export const DEED_WORDS: Record<Deed, { button: string; title: string; done: string }> = {
  ack: { button: 'Acknowledge', title: 'Acknowledge', done: 'acknowledged' },
  silence: { button: 'Silence', title: 'Silence', done: 'silenced' },
  resolve: { button: 'Resolve', title: 'Resolve', done: 'resolved' },
};

/** How long a silence may be, in words, and as the server takes it. */
export const SILENCES: [string, string][] = [
  ['an hour', '+1h'],
  ['4 hours', '+4h'],
  ['a day', '+1d'],
  ['a week', '+7d'],
  ['30 days', '+30d'],
];

export const toneOfLevel = (level: string): 'bad' | 'warn' | '' =>
  level === 'critical' || level === 'high' ? 'bad' : level === 'medium' ? 'warn' : '';

/** What an alert is about: `host web1, username alice`. */
export const groupWords = ({ group }: Pick<Alert, 'group'>) =>
  Object.entries(group)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name.replace(/^event_data\./, '')} ${legible(value)}`)
    .join(', ');

/** The search for all events of what an alert is about. */
export const groupQuery = ({ group }: Pick<Alert, 'group'>) =>
  Object.entries(group)
    .filter(([, value]) => value !== '' && !value.includes('…'))
    .map(([name, value]) => `${name}:${quote(value)}`)
    .join(' ');

/** The search for the steps that were recorded of an alert. */
export const stepsQuery = ({ id }: Pick<Alert, 'id'>) => `event_name:alert.* resource:${quote(id)}`;

/** What a deed can be done to. */
export const canDo = (deed: Deed, { state }: Pick<Alert, 'state'>) =>
  deed === 'ack' ? state === 'open' : state !== 'resolved';

/** Why nothing is done: there is none at the cursor, or its state does not allow it. */
export const cannot = (deed: Deed, one: Pick<Alert, 'state'> | undefined) =>
  !one || canDo(deed, one)
    ? 'Select an alert first (x)'
    : deed === 'ack'
      ? `Only what is open is acknowledged; this alert is ${one.state}`
      : `This alert is ${one.state} already`;

/** The list after its newest part was asked for again: what is older than the answer stays. */
export function mergeAlerts(known: Alert[], page: AlertPage): Alert[] {
  if (!page.more) return page.alerts;
  const has = new Set(page.alerts.map(({ id }) => id));
  const last = page.alerts.at(-1)?.id;
  const at = known.findIndex(({ id }) => id === last);
  return at < 0 ? page.alerts : [...page.alerts, ...known.slice(at + 1).filter(({ id }) => !has.has(id))];
}
