export { type DownloadOptions, type DownloadProgress, download } from './download.ts';
export { HubError } from './errors.ts';
