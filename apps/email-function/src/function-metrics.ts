import { Counter, Gauge, Histogram, type Metric, type Registry } from 'prom-client';

const MAIL_RESULTS = ['sent', 'already_sent', 'gone', 'invalid', 'refused', 'temporary', 'unrecorded'] as const;
/** What became of a request for a mail. */
export type MailResult = (typeof MAIL_RESULTS)[number];

/** The names of of-watchdog for the requests, so that what scales functions by them scales this one too; and those of the mails. */
export class FunctionMetrics {
  readonly requests: Counter<'code' | 'method'>;
  readonly duration: Histogram<'code' | 'method'>;
  readonly inFlight: Gauge;
  readonly mails: Counter<'result'>;
  readonly smtpDuration: Histogram<'outcome'>;
  readonly smtpInFlight: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    const known = <T extends Metric>(name: string, make: (name: string) => T): T =>
      (registry.getSingleMetric(name) as T | undefined) ?? make(name);
    const labelNames = ['code', 'method'] as const;
    this.requests = known(
      'http_requests_total',
      (name) => new Counter({ name, help: 'Requests to the function, by status code and method', labelNames, registers }),
    );
    this.duration = known(
      'http_request_duration_seconds',
      (name) => new Histogram({ name, help: 'Time to answer a request to the function', labelNames, registers }),
    );
    this.inFlight = known(
      'http_requests_in_flight',
      (name) => new Gauge({ name, help: 'Requests to the function that are being answered', registers }),
    );
    this.mails = known(
      'harikube_email_mails_total',
      (name) => new Counter({ name, help: 'Requests for mails, by what became of them', labelNames: ['result'] as const, registers }),
    );
    // There with a zero from the start, so that rates have a beginning.
    for (const result of MAIL_RESULTS) this.mails.inc({ result }, 0);
    this.smtpDuration = known(
      'harikube_email_smtp_duration_seconds',
      (name) =>
        new Histogram({
          name,
          help: 'Time of a conversation with the SMTP server, by its outcome',
          labelNames: ['outcome'] as const,
          buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
          registers,
        }),
    );
    this.smtpInFlight = known(
      'harikube_email_smtp_in_flight',
      (name) => new Gauge({ name, help: 'Conversations with the SMTP server under way', registers }),
    );
  }
}
