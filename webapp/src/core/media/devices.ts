/** Microphones and loudspeakers: lists, errors by name. */

import { type DeviceErrorCode, type MediaDevice, type MediaDevices, MediaError, type MicrophoneOptions } from "./api.ts";

/** Returns the devices; names are empty until the microphone was allowed once. */
export async function listDevices(canChooseSpeaker: boolean): Promise<MediaDevices> {
	const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
	return {
		microphones: named(all, "audioinput"),
		speakers: named(all, "audiooutput"),
		canChooseSpeaker,
	};
}

/** Opens a microphone. Rejects with a {@link MediaError}. */
export async function openMicrophone(options: MicrophoneOptions): Promise<MediaStream> {
	if (navigator.mediaDevices?.getUserMedia === undefined) throw new MediaError("mic_unsupported");
	const { device, echoCancellation = true, noiseSuppression = true, autoGainControl = true } = options;
	try {
		return await navigator.mediaDevices.getUserMedia({
			audio: {
				...(device && { deviceId: { exact: device } }),
				echoCancellation,
				noiseSuppression,
				autoGainControl,
				channelCount: { ideal: 1 },
			},
		});
	} catch (error) {
		throw new MediaError(microphoneError(error), String(error));
	}
}

/** The names of DOMException that getUserMedia rejects with (Media Capture and Streams, section 10). */
export function microphoneError(error: unknown): DeviceErrorCode {
	switch ((error as { name?: string } | null)?.name) {
		case "NotAllowedError":
		case "SecurityError":
			return "mic_blocked";
		case "NotFoundError":
		case "OverconstrainedError":
		case "DevicesNotFoundError":
			return "mic_none";
		case "NotReadableError":
		case "AbortError":
			return "mic_in_use";
		case "TypeError":
			return "mic_unsupported";
		default:
			return "mic_failed";
	}
}

function named(devices: readonly MediaDeviceInfo[], kind: MediaDeviceKind): MediaDevice[] {
	return devices
		.filter((device) => device.kind === kind && device.deviceId !== "")
		.map(({ deviceId, label }) => ({ id: deviceId, name: label }));
}
