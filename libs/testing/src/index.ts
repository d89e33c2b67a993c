export { type AcknowledgedWrite, HistoryChecker, type ListedState, type WatchedEvent, type WatchedMessage } from './history-checker.js';
export { Random } from './random.js';
export { watchedEvent } from './watch-recorder.js';
