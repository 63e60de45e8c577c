export { alone, type ProcessGroup } from './process-group.ts';
