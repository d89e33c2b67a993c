export * from './env.js';
export * from './flags.js';
export * from './go-duration.js';
export type { HealthCheck, HealthChecks } from './health.module.js';
export * from './listen-reason.js';
export * from './logger.js';
export * from './metrics.js';
export * from './nearest.js';
export * from './shutdown.js';
