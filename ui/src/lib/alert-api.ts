/** The part of the server's HTTP API about alerts and rules. */
import { getJson, send } from './api';

export type AlertState = 'open' | 'acknowledged' | 'silenced' | 'resolved';

/** That somebody did something; by `-`: the rules themselves. */
export interface Did {
  by: string;
  at: string;
  reason: string;
}

export interface AlertStep {
  name: string;
  at: string;
  by: string;
  message: string;
  /** Where the event is in `audit`. */
  index: number;
}

export interface Alert {
  id: string;
  rule: string;
  rule_version: string;
  title: string;
  level: string;
  state: AlertState;
  message: string;
  host?: string;
  group: Record<string, string>;
  count: number;
  events: number;
  opened: string;
  last: string;
  /** Ledger and index of the newest entries of it. */
  evidence: string[];
  acknowledged?: Did;
  silenced?: { by: string; until: string; reason: string };
  resolved?: Did;
  /** With one alert only. */
  description?: string;
  steps?: AlertStep[];
}

export interface AlertCounts {
  open: number;
  acknowledged: number;
  silenced: number;
  resolved: number;
  critical: number;
  high: number;
}

export interface AlertPage {
  /** The newest first. */
  alerts: Alert[];
  more: boolean;
  counts: AlertCounts;
}

export interface Rule {
  id: string;
  version: string;
  title: string;
  description: string;
  level: string;
  kind: string;
  by: string[];
  file: string;
  line: number;
  /** How often its program failed on an event. */
  failures?: number;
}

export interface NotInForce {
  file: string;
  line: number;
  id: string;
  reason: string;
}

export interface RulesStatus {
  rules: Rule[];
  not_applicable: NotInForce[];
  refused: NotInForce[];
  disabled: string[];
  behind: number;
  version: string;
}

/** The most that one question may ask for, and that one deed may name. */
export const ALERTS_MAX = 1000;
export const REASON_CHARS_MAX = 1000;

export const ALERT_STATES = ['active', 'open', 'acknowledged', 'silenced', 'resolved', 'all'] as const;
export type AlertStates = (typeof ALERT_STATES)[number];

export const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

export interface WantedAlerts {
  state: AlertStates;
  /** At least so bad; empty: all. */
  level: string;
  /** Of one rule; empty: of all. */
  rule: string;
}

export type Deed = 'ack' | 'silence' | 'resolve';

export const alertApi = {
  list: ({ state, level, rule }: WantedAlerts, limit: number, after?: string, signal?: AbortSignal) => {
    const params = new URLSearchParams({ state, limit: String(limit) });
    for (const [name, value] of Object.entries({ level, rule, after: after ?? '' }))
      if (value !== '') params.set(name, value);
    return getJson<AlertPage>(`/alerts?${params}`, signal);
  },
  one: (id: string, signal?: AbortSignal) => getJson<Alert>(`/alerts/${encodeURIComponent(id)}`, signal),
  rules: () => getJson<RulesStatus>('/rules'),
  act: (deed: Deed, alerts: string[], reason: string, until?: string) =>
    send<{ done: number }>('POST', `/alerts/${deed}`, {
      alerts,
      reason,
      ...(until === undefined ? {} : { until }),
    }),
};
