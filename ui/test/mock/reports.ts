/** Reports, what is scheduled, and some that were made; the same on every run but for the clock. */

interface Kind {
  name: string;
  title: string;
  description: string;
  version: number;
  built_in: boolean;
  window_s: number;
  ledgers: string[];
  parameters: { name: string; description: string }[];
  asks_outside: boolean;
}

const DAY = 86_400;

const kind = (name: string, title: string, description: string, more: Partial<Kind> = {}): Kind => ({
  name,
  title,
  description,
  version: 1,
  built_in: true,
  window_s: 7 * DAY,
  ledgers: [],
  parameters: [],
  asks_outside: false,
  ...more,
});

const KINDS = [
  kind('breach-scope', 'Breach scope of {who}', 'What one account, key, agent or address did and touched.', {
    window_s: 30 * DAY,
    parameters: [{ name: 'who', description: 'an account, a key’s name, an agent or an address' }],
  }),
  kind('btc', 'Bitcoin', 'What the node says, and what the books say.', {
    built_in: false,
    asks_outside: true,
  }),
  kind('packages', 'Package changes', 'Every package that was installed, upgraded, removed or purged.'),
  kind('violations', 'Violations', 'Rows that broke a rule and that nobody has signed off.', {
    window_s: DAY,
  }),
];

export interface Refused {
  status: number;
  detail: string;
}

export function makeReports(now: number) {
  const at = (seconds: number) => new Date(now - seconds * 1000).toISOString();
  const schedules = new Map<string, Record<string, unknown>>([
    [
      'nightly',
      {
        name: 'nightly',
        planned: {
          report: 'violations',
          cron: '0 6 * * *',
          zone: 'Europe/Paris',
          formats: ['markdown'],
          folder: '/srv/reports',
          sinks: ['office'],
          sign_with: 'auditor@example.org',
          encrypt_to: ['boss@example.org'],
        },
        by: '-',
        configured: true,
        since: at(40 * DAY),
        next: at(-DAY / 2),
        last: at(DAY / 2),
      },
    ],
  ]);
  const made = Array.from({ length: 12 }, (_, n) => ({
    event_id: `rm-${String(n).padStart(4, '0')}`,
    report: 'violations',
    title: 'Violations',
    by: '-',
    at: at(DAY / 2 + n * DAY),
    from: at(DAY / 2 + (n + 1) * DAY),
    to: at(DAY / 2 + n * DAY),
    schedule: 'nightly',
    body_sha256: 'ab'.repeat(32),
    cited: 40 - n,
    ledgers: [{ name: 'audit', size: 81_233 - n, root: 'r'.repeat(43) + '=' }],
  }));

  return {
    list: () => ({ reports: KINDS, schedules: [...schedules.values()] }),
    made: () => ({ made, more: false }),
    run(input: Record<string, unknown>, by: string): Refused | Record<string, unknown> {
      const of = KINDS.find(({ name }) => name === input.report);
      if (!of) return { status: 404, detail: 'there is no such report' };
      const parameters = (input.parameters ?? {}) as Record<string, string>;
      const missing = of.parameters.find(({ name }) => !parameters[name]);
      if (missing) return { status: 400, detail: `the parameter ${missing.name} is missing` };
      const one = {
        ...(made[0] as (typeof made)[number]),
        event_id: `run-${made.length}`,
        report: of.name,
        title: of.title.replace('{who}', parameters.who ?? ''),
        by,
        at: new Date().toISOString(),
        cited: 7,
      };
      made.unshift(one);
      return one;
    },
    schedule(name: string, planned: Record<string, unknown>, by: string): Refused | null {
      if (schedules.get(name)?.configured)
        return { status: 400, detail: `the schedule ${name} stands in the configuration` };
      if (String(planned.cron).split(' ').length < 5)
        return { status: 400, detail: `cron: "${String(planned.cron)}" is no line of a crontab` };
      const times = { since: at(0), next: at(-3600), last: null };
      schedules.set(name, { name, planned, by, configured: false, ...times });
      return null;
    },
    unschedule: (name: string) => schedules.delete(name),
    page(id: string): string | null {
      const one = made.find(({ event_id }) => event_id === id);
      if (!one) return null;
      return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>${one.title}</title><style>body { font: 13px system-ui; }</style></head><body><h1>${one.title}</h1><script>document.title = 'it ran'</script><img src="https://elsewhere.example/x.png" alt=""></body></html>`;
    },
  };
}
