export { decodeVoice } from './decode';
export type { VoiceFile } from './folder';
export { type VoiceLibrary, type VoiceLibraryOptions, voiceLibrary } from './library';
export { checkVoiceOutput, writeVoice } from './write';
