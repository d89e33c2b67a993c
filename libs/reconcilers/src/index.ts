export { Controller, type ControllerOptions, type Source, type Sources } from './controller.js';
export { ControllerManager, type ControllerManagerOptions, LeaderLostError } from './controller-manager.js';
export { controllerProgram } from './controller-program.js';
export { EventRecorder, type EventRecorderOptions } from './event-recorder.js';
export { isPart } from './is-part.js';
export type { Key } from './key.js';
export { type ReconcileContext, type Reconciler, type Result, TerminalError } from './reconciler.js';
export { setCondition } from './set-condition.js';
export { WorkQueue, type WorkQueueMetrics } from './work-queue.js';
