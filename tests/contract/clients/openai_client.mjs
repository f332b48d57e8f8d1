// OpenAI's Node SDK. The base URL and key come from the environment, as in a program that is not touched.

import OpenAI from "openai";
import { GREETING, TOOLS, assembled, common, here, play, whole } from "./scenarios.mjs";

function connect(apiKey) {
  const completions = new OpenAI({ apiKey }).chat.completions;
  const ask = (messages, fields) => completions.create({ model: "glm-4.6", messages, ...fields });
  return {
    chat: async (messages, fields) => whole(await ask(messages, fields)),
    stream: async (messages, fields) => assembled(await ask(messages, { stream: true, ...fields })),
  };
}

const usual = new OpenAI();
const slow = () => new OpenAI({ apiKey: here.slow_key, baseURL: `${here.slow_root}/v1`, maxRetries: 1 });
const say = (content) => ({ model: "glm-4.6", messages: [{ role: "user", content }] });

async function cancelled() {
  const read = [];
  const stream = await slow().chat.completions.create({ ...say("count"), stream: true });
  for await (const chunk of stream) {
    read.push(chunk.choices[0].delta.content);
    if (read.length === 3) break;
  }
  stream.controller.abort();
  return { read, left_s: Date.now() / 1000 };
}

async function helpers() {
  const questions = [
    { messages: GREETING },
    { messages: [{ role: "user", content: "北京今天天气怎么样？" }], tools: TOOLS, tool_stream: true },
  ];
  const results = [];
  for (const question of questions)
    results.push(await usual.chat.completions.stream({ model: "glm-4.6", ...question }).finalChatCompletion());
  return results;
}

async function toolRunner() {
  const run = (text) => {
    asked.push(JSON.parse(text));
    return JSON.stringify({ temperature: 21, condition: "晴" });
  };
  const asked = [];
  const tools = [{ type: "function", function: { ...TOOLS[0].function, function: run } }];
  const runner = usual.chat.completions.runTools({
    model: "glm-4.6",
    messages: [{ role: "user", content: "北京今天天气怎么样？" }],
    tools,
  });
  return { content: await runner.finalContent(), asked };
}

async function models() {
  const found = [];
  for await (const model of usual.models.list()) found.push(model);
  return found;
}

await play("node-openai", {
  ...common(connect),
  models,
  model: () => usual.models.retrieve("glm-4.6"),
  "unknown-model-shown": () => usual.models.retrieve("glm-none"),
  "stream-helper": helpers,
  "tool-runner": toolRunner,
  "include-usage": async () =>
    (await connect(here.key).stream(GREETING, { stream_options: { include_usage: true } })).seen,
  cancelled,
  busy: () => slow().chat.completions.create(say("busy")),
  "broken-stream": async () =>
    (await assembled(await slow().chat.completions.create({ ...say("die"), stream: true }))).seen,
  separators: async () =>
    (await assembled(await slow().chat.completions.create({ ...say("separators"), stream: true }))).seen,
});
