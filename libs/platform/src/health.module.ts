import { Controller, type DynamicModule, Get, Header, HttpException, Inject, Injectable, Module, Query, Res } from '@nestjs/common';
import { HealthCheckService, type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { isNativeError } from 'node:util/types';
import { Registry } from 'prom-client';

/** Something whose state /readyz or /livez tells. */
export interface HealthCheck {
  readonly name: string;
  /** False: it is listed, but does not make the process unready. */
  readonly isCritical: boolean;
  /** Throws the reason when it is not healthy. A text is a note about what is. */
  check(signal: AbortSignal): Promise<string | void> | string | void;
}

/** The checks of the moment: databases come and go with the topology. */
export interface HealthChecks {
  /** Whether the process can be of use at all; a process that is not alive is restarted. */
  live(): readonly HealthCheck[];
  /** Whether requests should be sent here. */
  ready(): readonly HealthCheck[];
}

export const HealthChecks = Symbol('HealthChecks');

const CHECK_TIMEOUT_MS = 2000;

/** Runs one `HealthCheck` as Terminus wants it. */
@Injectable()
class CheckIndicator {
  constructor(@Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService) {}

  async run(health: HealthCheck): Promise<HealthIndicatorResult> {
    const session = this.indicators.check(health.name);
    const deadline = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    const late = new Promise<never>((_, reject) => {
      deadline.addEventListener('abort', () => {
        reject(new Error(`no answer within ${CHECK_TIMEOUT_MS / 1000} seconds`));
      });
    });
    try {
      // Started inside a promise: a check that throws at once must not leave `late` unawaited.
      const answer = (async () => health.check(deadline))();
      const note = await Promise.race([late, answer]);
      return typeof note === 'string' ? session.up(note) : session.up();
    } catch (error) {
      const reason = isNativeError(error) ? error.message : String(error);
      return health.isCritical ? session.down(reason) : session.degraded(reason);
    }
  }
}

/** The little that is used of the framework's response. */
interface HttpReply {
  status(code: number): unknown;
}

@Controller()
class HealthController {
  constructor(
    @Inject(HealthChecks) private readonly checks: HealthChecks,
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(CheckIndicator) private readonly indicator: CheckIndicator,
  ) {}

  @Get('livez')
  @Header('content-type', 'text/plain; charset=utf-8')
  @Header('cache-control', 'no-store')
  livez(@Query() query: Record<string, unknown>, @Res({ passthrough: true }) reply: HttpReply): Promise<string> {
    return this.#answer('livez', this.checks.live(), query, reply);
  }

  @Get('readyz')
  @Header('content-type', 'text/plain; charset=utf-8')
  @Header('cache-control', 'no-store')
  readyz(@Query() query: Record<string, unknown>, @Res({ passthrough: true }) reply: HttpReply): Promise<string> {
    return this.#answer('readyz', this.checks.ready(), query, reply);
  }

  /** `ok`, or every check on a line as Kubernetes' servers show them: asked for by `?verbose`, always when one failed. */
  async #answer(page: string, checks: readonly HealthCheck[], query: Record<string, unknown>, reply: HttpReply): Promise<string> {
    const { isHealthy, details } = await this.#run(checks);
    if (isHealthy && !('verbose' in query)) {
      return 'ok';
    }
    const lines = checks.map(({ name, isCritical }) => {
      const { status, message } = details[name] ?? { status: 'down', message: 'not checked' };
      const note = message === undefined ? '' : `: ${String(message)}`;
      return status === 'up' ? `[+]${name} ok${note}` : `[-]${name} failed${isCritical ? '' : ' (not critical)'}${note}`;
    });
    if (!isHealthy) {
      reply.status(503);
    }
    return [...lines, `${page} check ${isHealthy ? 'passed' : 'failed'}`, ''].join('\n');
  }

  async #run(checks: readonly HealthCheck[]): Promise<{ isHealthy: boolean; details: HealthIndicatorResult }> {
    try {
      const { details } = await this.health.check(checks.map((check) => () => this.indicator.run(check)));
      return { isHealthy: true, details };
    } catch (error) {
      // Terminus tells a failed check by the exception that would be the answer.
      if (error instanceof HttpException) {
        const { details } = error.getResponse() as { details?: HealthIndicatorResult };
        return { isHealthy: false, details: details ?? {} };
      }
      throw error;
    }
  }
}

@Controller()
class MetricsController {
  constructor(@Inject(Registry) private readonly registry: Registry) {}

  @Get('metrics')
  @Header('content-type', Registry.PROMETHEUS_CONTENT_TYPE)
  @Header('cache-control', 'no-store')
  metrics(): Promise<string> {
    return this.registry.metrics();
  }
}

/** Metrics and health of one process. */
@Module({})
export class HealthModule {
  static register(registry: Registry, checks: HealthChecks): DynamicModule {
    return {
      module: HealthModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController, MetricsController],
      providers: [CheckIndicator, { provide: Registry, useValue: registry }, { provide: HealthChecks, useValue: checks }],
    };
  }
}
