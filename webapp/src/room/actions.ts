/** What buttons and keys do alike. */
import { VideoError } from "../video/api.ts";
import type { View } from "../ui/view.ts";
import type { Panel } from "./screen.ts";
import { roleOf, selfOf, speaks } from "./state.ts";

export function toggleMute({ phone, room }: View): void {
	if (speaks(roleOf(room.value))) phone.room.mute(!room.value.muted);
}

export function lowerOrRaiseHand({ phone, room }: View): void {
	const self = selfOf(room.value);
	if (self !== null) phone.room.act({ act: "hand", participant: self.participant, raised: self.hand === undefined });
}

export function toggleCamera({ phone, room, video }: View): void {
	const engine = video.value;
	if (engine?.support.send !== true || !speaks(roleOf(room.value))) return;
	if (engine.sending.camera) engine.cameraOff();
	else void engine.cameraOn().catch((error: unknown) => phone.room.pictureFailed(codeOf(error)));
}

/** Where the camera cannot, nothing changes. */
export function toggleBlur({ video, roomScreen }: View): void {
	const wanted = !roomScreen.blurred.value;
	void video.value?.blur(wanted).then((done) => {
		if (done) roomScreen.blurred.value = wanted;
	});
}

export function toggleScreen({ phone, video }: View): void {
	const engine = video.value;
	if (engine === null) return;
	if (engine.sending.screen) engine.screenOff();
	else {
		void engine.screenOn().catch((error: unknown) => {
			// Whoever closes the browser's own question knows it.
			if (codeOf(error) !== "blocked") phone.room.pictureFailed(codeOf(error));
		});
	}
}

export function toggleLayout({ roomScreen }: View): void {
	roomScreen.layout.value = roomScreen.layout.value === "grid" ? "speaker" : "grid";
	// A pinned one would stay large whatever the layout.
	if (roomScreen.layout.value === "grid") roomScreen.pinned.value = null;
}

export function togglePanel({ roomScreen }: View, panel: Panel): void {
	roomScreen.panel.value = roomScreen.panel.value === panel ? "none" : panel;
}

function codeOf(error: unknown) {
	return error instanceof VideoError ? error.code : "failed";
}
