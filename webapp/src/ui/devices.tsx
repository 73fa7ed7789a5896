/** Which microphone, which loudspeaker, and whether they work. */
import { useEffect } from "preact/hooks";
import type { MediaDevice } from "../core/media/api.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { useView } from "./view.ts";

export function DevicePickers() {
	const { phone, settings, devices } = useView();
	const t = words.value;
	useEffect(() => void phone.voice.listDevices(), []);
	const { microphones, speakers, canChooseSpeaker } = devices.value;
	return (
		<>
			<Picker
				label={t.microphone}
				testid="mic-select"
				devices={microphones}
				chosen={settings.value.microphone}
				onChoose={(microphone) => void phone.changeSettings({ microphone })}
			/>
			{canChooseSpeaker ? (
				<Picker
					label={t.speaker}
					testid="speaker-select"
					devices={speakers}
					chosen={settings.value.speaker}
					onChoose={(speaker) => void phone.changeSettings({ speaker })}
				/>
			) : (
				<p class="small muted">{t.cannotChooseSpeaker}</p>
			)}
			<button type="button" class="button small" data-testid="speaker-test" onClick={() => void phone.voice.playTest()}>
				<Icon name="wave" size={18} />
				{t.playTestTone}
			</button>
		</>
	);
}

function Picker(props: {
	label: string;
	testid: string;
	devices: readonly MediaDevice[];
	chosen: string;
	onChoose: (id: string) => void;
}) {
	const t = words.value;
	const known = props.devices.filter((device) => device.id !== "" && device.id !== "default");
	return (
		<label class="field">
			<span>{props.label}</span>
			<select
				value={known.some((device) => device.id === props.chosen) ? props.chosen : ""}
				data-testid={props.testid}
				onChange={(event) => props.onChoose(event.currentTarget.value)}
			>
				<option value="">{t.systemDefault}</option>
				{known.map((device, index) => (
					<option key={device.id} value={device.id}>
						{device.name === "" ? `${props.label} ${index + 1}` : device.name}
					</option>
				))}
			</select>
		</label>
	);
}
