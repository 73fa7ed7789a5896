/** The names of AudioWorkletGlobalScope, which TypeScript's libraries lack. */

export interface Processor {
	readonly port: MessagePort;
}

interface Scope {
	AudioWorkletProcessor: new () => Processor;
	registerProcessor(name: string, processor: new (options: { processorOptions: never }) => Processor): void;
	/** Frame of the first sample of this quantum. */
	readonly currentFrame: number;
}

export const scope = globalThis as unknown as Scope;
