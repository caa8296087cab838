/** The part of the server's HTTP API about reports. */
import { getJson, send } from './api';

export interface ReportKind {
  name: string;
  title: string;
  description: string;
  version: number;
  built_in: boolean;
  /** How much time it covers when nothing else is asked for. */
  window_s: number;
  ledgers: string[];
  parameters: { name: string; description: string; default?: string }[];
  asks_outside: boolean;
}

export interface MadeReport {
  event_id: string;
  report: string;
  title: string;
  by: string;
  at: string;
  from: string;
  to: string;
  schedule?: string;
  body_sha256: string;
  cited: number;
  ledgers: { name: string; size: number; root: string }[];
}

/** What is made by itself, and where it goes; as in the configuration. */
export interface Planned {
  report: string;
  cron: string;
  zone: string;
  window?: string;
  parameters?: Record<string, string>;
  formats: string[];
  folder?: string;
  sinks?: string[];
  sign_with?: string;
  encrypt_to?: string[];
}

export interface Scheduled {
  name: string;
  planned: Planned;
  by: string;
  /** It stands in the configuration, where alone it can be changed. */
  configured: boolean;
  since: string;
  next: string | null;
  last: string | null;
}

export interface RunRequest {
  report: string;
  from?: string;
  to?: string;
  parameters: Record<string, string>;
}

export const FORMATS = ['html', 'markdown', 'json', 'csv'] as const;
export type ReportFormat = (typeof FORMATS)[number];

export const HISTORY_MAX = 200;

const ofMade = (id: string) => `/reports/made/${encodeURIComponent(id)}`;

/** Where a report is, for a frame or for a browser to save. */
export const reportAddress = (id: string, format: ReportFormat, show = false) =>
  `/api/v1${ofMade(id)}?format=${format}${show ? '&show=true' : ''}`;

export const reportApi = {
  list: () => getJson<{ reports: ReportKind[]; schedules: Scheduled[] }>('/reports'),
  history: () => getJson<{ made: MadeReport[]; more: boolean }>(`/reports/made?limit=${HISTORY_MAX}`),
  run: (request: RunRequest) => send<MadeReport>('POST', '/reports/run', request),
  schedule: (name: string, planned: Planned) =>
    send<undefined>('POST', '/reports/schedules', { name, planned }),
  unschedule: (name: string) => send<undefined>('DELETE', `/reports/schedules/${encodeURIComponent(name)}`),
};
