import { REGISTRATION_REQUESTS } from '@harikube/crds';
import { InformerFactory, KubeClient, type Resource } from '@harikube/kube';
import type { RegistrationRequest } from '@harikube/crds';
import {
  type HealthCheck,
  type HealthChecks,
  type RunningService,
  type ServiceContext,
  serviceProgram,
  TlsFiles,
  watchCertificate,
} from '@harikube/platform';
import { API_SERVER_FLAGS, apiServerConfig, type ApiServerConfig } from './api-server.config.js';
import { Authenticator } from './authentication.js';
import { Authorizer } from './authorization.js';
import { Connections } from './connections.js';
import { FairLimit } from './fair-limit.js';
import { type HttpsServer, startHttpsServer } from './https-server.js';
import { RegistrationHandler } from './registration-handler.js';
import { RegistrationWaiter } from './registration-waiter.js';
import { RequestPipeline } from './request-pipeline.js';
import { ServerMetrics } from './server-metrics.js';
import { TokenReviewer } from './token-reviewer.js';
import { authoritiesPem } from './trust-config.js';
import { TRUST_RESOURCE, TRUST_SELECTION, TrustSource } from './trust-source.js';

export const apiServerProgram = serviceProgram<ApiServerConfig>({
  name: 'api-server',
  summary: 'the aggregated API server: registrations that answer with their result',
  flags: API_SERVER_FLAGS,
  configure: apiServerConfig,
  start: startApiServer,
});

const REQUESTS: Resource<RegistrationRequest> = REGISTRATION_REQUESTS;
/** No user gets more than this part of the room. */
const SHARE_IN_FLIGHT = 0.5;
const SHARE_WAITING = 0.9;
const QUEUE = 500;
const QUEUE_PER_USER = 50;
const QUEUE_MS = 10_000;
/** More at once would only wait for the hashes of each other in admission, which has less patience than who registers. */
const CREATES = { limit: 8, perUser: 6, queue: 1000, queuePerUser: 900, queueMs: 40_000 };
/** How long the connections of clients that send nothing more may take to end. */
const LAST_CONNECTIONS_MS = 5000;
/** For the answers to those who are sent away at the end. */
const LAST_ANSWERS_MS = 5000;

async function startApiServer(config: ApiServerConfig, { logger, registry }: ServiceContext): Promise<RunningService> {
  const tls = TlsFiles.load({ folder: config.certFolder, certName: config.certName, keyName: config.certKey, logger });
  const client = KubeClient.fromConfig({ kubeconfig: config.kubeconfig ?? undefined, userAgent: 'harikube-api-server', registry });
  const stop = new AbortController();
  const informers = new InformerFactory(client, { logger, registry });
  const requests = informers.informer(REQUESTS);
  const trustSource = new TrustSource(informers.informer(TRUST_RESOURCE, TRUST_SELECTION), logger);
  const running = informers.run(stop.signal);
  running.catch((err: unknown) => logger.error('the caches have stopped', { err }));
  const connections = new Connections();
  const waiter = new RegistrationWaiter({ requests, read: (name, signal) => client.get(REQUESTS, name, undefined, { signal }) });
  const registrations = new RegistrationHandler({
    client,
    waiter,
    seats: fairLimit(config.maxWaiting, SHARE_WAITING),
    creates: new FairLimit(CREATES),
  });
  let isDraining = false;
  const checks: HealthChecks = {
    live: () => [],
    ready: () => [
      check('informer-sync', () => informers.isSynced || 'the caches are not filled yet'),
      check('shutdown', () => !isDraining || 'the server is stopping'),
    ],
  };
  let server: HttpsServer;
  try {
    await informers.awaitSynced(stop.signal);
    trustSource.start();
    const pipeline = new RequestPipeline({
      authenticator: new Authenticator({
        trust: () => trustSource.trust,
        tokens: new TokenReviewer({ client, logger }),
        allowsAnonymous: config.allowsAnonymous,
      }),
      authorizer: new Authorizer({ client, allowedMs: config.allowedMs, deniedMs: config.deniedMs }),
      registrations,
      seats: fairLimit(config.maxInFlight, SHARE_IN_FLIGHT),
      checks,
      metrics: new ServerMetrics(registry),
      registry,
      logger,
    });
    const authorities = authoritiesPem(trustSource.trust);
    server = await startHttpsServer({ listen: config.listen, pair: tls.pair, authorities, pipeline, connections, logger });
  } catch (error) {
    stop.abort();
    waiter.close();
    await running;
    await client.close();
    throw error;
  }
  tls.onChange((pair) => server.useTls(pair, authoritiesPem(trustSource.trust)));
  trustSource.onChange((trust) => {
    server.useTls(tls.pair, authoritiesPem(trust));
    // What a connection was checked against when it was made is not what counts from now on.
    connections.renew();
  });
  tls.start(stop.signal);
  watchCertificate(registry, 'api-server', () => tls.pair.cert);
  logger.info('serving the API', { port: server.port });

  /** Still as before, then no new connections, then the end of the registrations that go on for too long. */
  const close = async (): Promise<void> => {
    isDraining = true;
    const delay = connections.isUsed ? config.shutdownDelayMs : 0;
    await pause(delay);
    logger.debug('no more connections are taken', { requests: connections.active });
    server.stopListening();
    connections.end();
    if (!(await isIdleWithin(connections, config.drainMs - delay))) {
      logger.warn('registrations still wait, their callers are sent away', { requests: connections.active });
      registrations.endWaits();
      await isIdleWithin(connections, LAST_ANSWERS_MS);
    }
    await connections.destroy(LAST_CONNECTIONS_MS);
    logger.debug('all connections have ended');
    await server.close();
    waiter.close();
    stop.abort();
    tls.close();
    await running;
    await client.close();
  };
  return { checks, close };
}

function fairLimit(limit: number, share: number): FairLimit {
  return new FairLimit({
    limit,
    perUser: Math.max(1, Math.floor(limit * share)),
    queue: QUEUE,
    queuePerUser: QUEUE_PER_USER,
    queueMs: QUEUE_MS,
  });
}

function check(name: string, isHealthy: () => true | string): HealthCheck {
  return {
    name,
    isCritical: true,
    check: () => {
      const said = isHealthy();
      if (said !== true) throw new Error(said);
    },
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function isIdleWithin(connections: Connections, milliseconds: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), Math.max(0, milliseconds));
  const isIdle = await Promise.race([connections.idle().then(() => true), late.promise]);
  clearTimeout(timer);
  return isIdle;
}
