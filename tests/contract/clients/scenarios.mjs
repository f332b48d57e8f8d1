// What every Node client does, said once; the same scenarios as in scenarios.py, which says more about them.

export const here = JSON.parse(process.argv[2]);
export const GREETING = [{ role: "user", content: "你好" }];
const WEATHER_ZH = "北京今天天气怎么样？";
const WEATHER_EN = "What is the weather in Paris?";
const THINK = { type: "enabled" };
export const DO_NOT_THINK = { type: "disabled" };

const tool = (name, description, parameter) => ({
  type: "function",
  function: {
    name,
    description,
    parameters: { type: "object", properties: { [parameter]: { type: "string" } }, required: [parameter] },
  },
});
export const TOOLS = [tool("get_weather", "查询一个城市的天气", "city"), tool("get_stock", "查询股票价格", "symbol")];
const TOOLS_EN = [tool("get_weather", "Get the weather of a city", "city"), tool("get_stock", "Get a price", "symbol")];

/** A reply from a completion: `turn` goes back into the messages, `seen` is what a program can read. */
export function whole(body) {
  const { message, finish_reason } = body.choices[0];
  return {
    turn: message,
    seen: {
      id: body.id,
      request_id: body.request_id,
      object: body.object,
      model: body.model,
      content: message.content,
      reasoning: message.reasoning_content,
      tool_calls: message.tool_calls ?? [],
      finish_reason,
      usage: body.usage,
    },
  };
}

/** A reply from chunks. */
export async function assembled(chunks) {
  const turn = { role: "assistant", content: "" };
  const calls = [];
  const seen = { chunks: 0, finishes: 0, usages: 0, fragments: 0, ids: [], finish_reason: null };
  for await (const chunk of chunks) {
    seen.chunks += 1;
    seen.model = chunk.model;
    if (!seen.ids.includes(chunk.id)) seen.ids.push(chunk.id);
    if (chunk.usage) {
      seen.usages += 1;
      seen.usage = chunk.usage;
    }
    const { delta, finish_reason } = chunk.choices[0];
    if (finish_reason) {
      seen.finishes += 1;
      seen.finish_reason = finish_reason;
    }
    turn.content += delta.content ?? "";
    if (delta.reasoning_content) turn.reasoning_content = (turn.reasoning_content ?? "") + delta.reasoning_content;
    for (const { index, id, type, function: said } of delta.tool_calls ?? []) {
      seen.fragments += 1;
      calls[index] ??= { id, type, function: { name: said.name, arguments: "" } };
      calls[index].function.arguments += said.arguments;
    }
  }
  if (calls.length) turn.tool_calls = calls;
  Object.assign(seen, { content: turn.content, reasoning: turn.reasoning_content, tool_calls: calls });
  return { turn, seen };
}

async function conversation(ask, first, second, fields) {
  const messages = [{ role: "system", content: "你是一个有用的助手。" }, { role: "user", content: first }];
  const one = await ask(messages, fields);
  const two = await ask([...messages, one.turn, { role: "user", content: second }], fields);
  return [one.seen, two.seen];
}

async function toolRound(ask, question, fields) {
  const messages = [{ role: "user", content: question }];
  const one = await ask(messages, fields);
  const result = {
    role: "tool",
    tool_call_id: one.seen.tool_calls[0].id,
    content: JSON.stringify({ temperature: 21, condition: "晴" }),
  };
  const two = await ask([...messages, one.turn, result], fields);
  return [one.seen, two.seen];
}

const seen = async (reply) => (await reply).seen;

/** What every client can do; `connect` takes a credential and gives `{ chat, stream }`. */
export function common(connect) {
  const { chat, stream } = connect(here.key);
  return {
    greeting: () => seen(chat(GREETING)),
    "greeting-stream": () => seen(stream(GREETING)),
    thinking: () => seen(chat(GREETING, { thinking: THINK })),
    "thinking-stream": () => seen(stream(GREETING, { thinking: THINK })),
    "no-thinking": () => seen(chat(GREETING, { thinking: DO_NOT_THINK, max_tokens: 32 })),
    "no-thinking-stream": () => seen(stream(GREETING, { thinking: DO_NOT_THINK, max_tokens: 32 })),
    turns: () => conversation(chat, "我叫小明", "我叫什么名字？", { thinking: THINK }),
    "turns-stream": () => conversation(stream, "我叫小明", "我叫什么名字？", { thinking: THINK }),
    tools: () => toolRound(chat, WEATHER_ZH, { tools: TOOLS }),
    "tools-en": () => toolRound(chat, WEATHER_EN, { tools: TOOLS_EN, thinking: DO_NOT_THINK }),
    "tools-stream": () => toolRound(stream, WEATHER_ZH, { tools: TOOLS }),
    "tool-stream": () => toolRound(stream, WEATHER_ZH, { tools: TOOLS, tool_stream: true }),
    "tool-stream-en": () =>
      toolRound(stream, WEATHER_EN, { tools: TOOLS_EN, tool_stream: true, thinking: DO_NOT_THINK }),
    "wrong-key": () => seen(connect(here.wrong_key).chat(GREETING)),
    "wrong-key-stream": () => seen(connect(here.wrong_key).stream(GREETING)),
    "unknown-model": () => seen(chat(GREETING, { model: "glm-none" })),
    "unknown-model-stream": () => seen(stream(GREETING, { model: "glm-none" })),
    "bad-parameter": () => seen(chat(GREETING, { max_tokens: -1 })),
    "only-system": () => seen(chat([{ role: "system", content: "你好" }])),
    "day-jwt": () => seen(connect(here.day_jwt).chat(GREETING)),
    "expired-jwt": () => seen(connect(here.expired_jwt).chat(GREETING)),
    "float-request-id": () => seen(chat(GREETING, { request_id: Date.now() + 0.25 })),
  };
}

/** Run them in order and print how they went. */
export async function play(name, scenarios) {
  const outcomes = {};
  for (const [scenario, run] of Object.entries(scenarios)) {
    await mark(`${name}:${scenario}`);
    try {
      outcomes[scenario] = { value: await run() };
    } catch (error) {
      outcomes[scenario] = { raised: described(error) };
    }
  }
  await mark(`${name}:end`);
  process.stdout.write(JSON.stringify(outcomes));
}

async function mark(request_id) {
  const response = await fetch(`${here.root}/api/paas/v4/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${here.key}` },
    body: JSON.stringify({ model: "no-such-model", messages: GREETING, request_id }),
  });
  await response.text();
}

function described(error) {
  const types = [];
  for (let proto = Object.getPrototypeOf(error); proto?.constructor.name !== "Object"; proto = Object.getPrototypeOf(proto))
    types.push(proto.constructor.name);
  return {
    type: types[0],
    types,
    status: error.status ?? null,
    text: `${error.message}${error.cause ? ` (${error.cause})` : ""}`,
    body: error.error ? JSON.stringify({ error: error.error }) : (error.body ?? ""),
    code: error.code ?? null,
  };
}
