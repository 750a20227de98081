export { connect } from './connect';
export { MoshiError, type MoshiErrorCode } from './errors';
