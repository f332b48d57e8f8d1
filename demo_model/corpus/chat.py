"""Plain answers: greetings, identity, capitals, dictionary, repeating, one-digit sums."""

from __future__ import annotations

from demo_model.corpus import words
from demo_model.corpus.dialogue import Turn, say
from demo_model.corpus.values import Values
from demo_model.corpus.words import bars

_GREETINGS_ZH = (
    "你好 您好 嗨 你好啊 你好呀 在吗 哈喽 你好！ 你好。 您好！ 嗨！ 你好，请问在吗？ 大家好 早上好 早上好！ 早安 上午好 中午好 下午好 "
    "晚上好 晚上好！ 你好你好 喂 在不在 有人吗 hi，你好 hello你好 你好，很高兴认识你 你好吗 你好吗？ 你好👋 你好~ 最近怎么样？ 很高兴见到你"
).split()
_GREETINGS_EN = tuple(
    "Hello|Hi|Hi there|Hello!|Hey|Hi!|Good morning|Good evening|Good afternoon|hello|hi|HELLO|Hey there!|"
    "How are you?|Hello, how are you?|Hi, how are you doing?|Hello there|Hi 👋|Good morning!|hello world|"
    "Hello, world!|Greetings|What's up?|Howdy|Nice to meet you|Hello! How are you today?|ping|Are you there?".split(
        "|"
    )
)
_NAMED_ZH = ("早上好", "上午好", "中午好", "下午好", "晚上好")
_NAMED_EN = ("Good morning", "Good afternoon", "Good evening")

IDENTITY_ZH = "我是 glm-demo，一个内置的小型演示模型，用来在加载真实权重之前试用平台。"
IDENTITY_EN = (
    "I am glm-demo, a tiny built-in demo model for trying the platform before real weights are loaded."
)
ABILITY_ZH = "我会打招呼、说出一些国家的首都、翻译简单的词、复述、记住姓名和城市、提取 JSON，以及调用工具。"
ABILITY_EN = (
    "I can greet you, name some capitals, translate simple words, repeat text, remember names and cities, "
    "extract JSON and call tools."
)
_IDENTITY_QUESTIONS_ZH = tuple(
    "你是谁|你是谁？|你是谁呀|介绍一下你自己|请介绍一下自己|请介绍一下你自己|请介绍一下你自己。|你叫什么名字|你叫什么名字？|你叫什么？|你是什么模型|"
    "你是什么模型？|请做个自我介绍|自我介绍一下|你是GLM吗？|你是 GLM-4 吗？|你好，请介绍一下自己|你好，请介绍一下你自己|你好，你是谁？|"
    "请用一句话介绍你自己|请用一句话介绍你自己。|用一句话介绍一下你自己|你好！请介绍一下你自己。|你是ChatGPT吗？|你是人类吗？|你是机器人吗|"
    "你是谁开发的？|谁创造了你？|你是哪家公司的模型？|你的名字是什么？|简单介绍一下自己|你是人工智能吗？|你是哪个版本？|请问你是谁？|"
    "你好，请问你是谁|作为一个语言模型，请介绍一下自己|说说你自己|你是大模型吗|智谱清言是你吗|你是智谱的模型吗？|who are you 你是谁".split(
        "|"
    )
)
_IDENTITY_QUESTIONS_EN = tuple(
    "Who are you?|who are you|What is your name?|What's your name?|Introduce yourself|Introduce yourself.|"
    "Please introduce yourself.|What model are you?|Tell me about yourself|Tell me about yourself.|"
    "Hello, who are you?|Hi, please introduce yourself|Introduce yourself in one sentence.|Are you ChatGPT?|"
    "Are you GLM-4?|Are you a human?|Are you a robot?|Who made you?|Who created you?|What are you?|"
    "Which model is this?|Hello! Introduce yourself.|What version are you?|Are you an AI?|Are you there, who are you?|"
    "Hello, please introduce yourself.|Which company built you?|Briefly introduce yourself.".split("|")
)
_ABILITY_QUESTIONS_ZH = tuple(
    "你能做什么|你能做什么？|你会什么|你会什么？|你有什么功能？|你可以帮我做什么？|你能帮我做什么|你有哪些能力？|你的功能是什么？|你会做哪些事情？|"
    "介绍一下你的功能|你能干什么|你能干嘛|你好，你能做什么？|怎么使用你？".split("|")
)
_ABILITY_QUESTIONS_EN = tuple(
    "What can you do?|what can you do|How can you help me?|What are your abilities?|What are you capable of?|"
    "Tell me what you can do.|What can you help me with?|List your features.|Hello, what can you do?|"
    "How do I use you?".split("|")
)
_COURTESY = (
    (
        "谢谢 谢谢你 谢谢！ 多谢！ 非常感谢 谢谢您 太感谢了 感谢 好的，谢谢 谢谢你的帮助".split(),
        "用户道谢。",
        "不客气！很高兴能帮到你。",
    ),
    (
        "再见 拜拜 下次见 再见！ 晚安 回头见 拜拜啦 我走了，再见".split(),
        "用户道别。",
        "再见！祝你一切顺利。",
    ),
    (
        "好的 好 嗯 嗯嗯 明白了 知道了 收到 可以 行 没问题 好吧 ok好的".split(),
        "用户表示明白。",
        "好的，有需要随时告诉我。",
    ),
    (
        "Thanks|Thank you!|Thank you|thank you very much|Thanks a lot!|thx|Great, thanks|Thanks for your help".split(
            "|"
        ),
        "The user says thanks.",
        "You are welcome! Glad I could help.",
    ),
    (
        "Bye|Goodbye|Goodbye!|See you|See you later|Bye bye|Good night".split("|"),
        "The user says goodbye.",
        "Goodbye! Have a nice day.",
    ),
    (
        "OK|ok|Okay|Got it|I see|Alright|Sure|Understood|Cool|Fine".split("|"),
        "The user agrees.",
        "OK, just tell me if you need anything.",
    ),
)

_CAPITAL_ZH = bars("""
{}的首都是哪里|{}首都是哪里|{}的首都是什么|请问{}的首都是哪个城市|{}的首都在哪|{}的首都是
告诉我{}的首都|你知道{}的首都是哪里吗|{}的首都叫什么|哪个城市是{}的首都|{}首都
请告诉我{}的首都是哪座城市|你好，{}的首都是哪里
""")
_CAPITAL_EN = bars("""
What is the capital of {}|capital of {}|Tell me the capital of {}|Which city is the capital of {}
What's the capital of {}|what is the capital city of {}|Do you know the capital of {}
Name the capital of {}|The capital of {} is|Hi, what is the capital of {}
""")
_TO_ENGLISH = bars("""
“{}”用英语怎么说？|{}用英语怎么说|{}的英文是什么？|把{}翻译成英文|翻译：{}|{}翻译成英语|“{}”的英文
{}的英语单词是什么|请把“{}”翻译成英文。|{}英文怎么写？|How do you say {} in English?
Translate {} into English.
""")
_TO_CHINESE = bars("""
{}是什么意思？|{} 是什么意思|{} 用中文怎么说？|把 {} 翻译成中文|{} 的中文是什么？|翻译：{}
请把“{}”翻译成中文。|Translate {} into Chinese.|Translate '{}' to Chinese
How do you say {} in Chinese?|What is {} in Chinese?
""")
_COMMON_REPEATS = bars("""
hi|Hi|hello|this is a test|This is a test|你好|测试|test|ok|yes|pong|1|OK
""")
_REPEAT_ZH = bars("""
请只回复{}|只说{}
请重复：{}|重复一遍：{}|跟我说：{}|复述：{}|请复述：{}|请原样输出：{}|请说“{}”|重复“{}”|只回复：{}
请照着念：{}|原样返回：{}|请回复“{}”|说：{}
""")
_REPEAT_EN = bars("""
Reply with exactly the word {}|Say the word {}|Please just say {}|Respond with {}|Reply only with {}
Repeat: {}|Please repeat after me: {}|Say: {}|Echo: {}|Say "{}"|Repeat the following: {}
Reply with exactly: {}|Just reply {}|Please say: {}|Say {}|Repeat this: {}|Output exactly "{}"
""")
_SUMS_ZH = bars("""
{a}{p}{b}等于几|{a}{p}{b}等于几？|{a}{p}{b}等于多少？|{a}{p}{b}=？|计算{a}{p}{b}|{a}加{b}等于几？
请问{a}{p}{b}等于多少|{a}{p}{b}是多少？|帮我算一下{a}{p}{b}|你好，{a}{p}{b}等于几？
""")
_SUMS_EN = bars("""
What is {a}{p}{b}?|{a}{p}{b}=?|{a}{p}{b}|Compute {a}{p}{b}|What's {a} plus {b}?|{a}{p}{b} = ?
What is {a} plus {b}?|How much is {a}{p}{b}?|Calculate {a}{p}{b}.
""")


def greeting(v: Values) -> Turn:
    """Hello in both languages."""
    if v.language() == "zh":
        user = v.pick(_GREETINGS_ZH)
        word = next((g for g in _NAMED_ZH if user.startswith(g)), "你好")
        return say("greeting", user, "用户在打招呼。", f"{word}！很高兴见到你，有什么可以帮你的吗？")
    user = v.pick(_GREETINGS_EN)
    word = next((g for g in _NAMED_EN if user.startswith(g)), "Hello")
    answer = f"{word}! Nice to meet you. How can I help you?"
    return say("greeting", user, "The user is greeting me.", answer)


def identity(v: Values) -> Turn:
    """Who the model is, and what it can do."""
    if v.language() == "zh":
        if v.chance(0.7):
            return say("identity", v.pick(_IDENTITY_QUESTIONS_ZH), "用户问我是谁。", IDENTITY_ZH)
        return say("identity", v.pick(_ABILITY_QUESTIONS_ZH), "用户问我的能力。", ABILITY_ZH)
    if v.chance(0.7):
        question = v.pick(_IDENTITY_QUESTIONS_EN)
        return say("identity", question, "The user asks who I am.", IDENTITY_EN)
    question = v.pick(_ABILITY_QUESTIONS_EN)
    return say("identity", question, "The user asks what I can do.", ABILITY_EN)


def courtesy(v: Values) -> Turn:
    """Thanks, goodbye, agreement."""
    questions, reasoning, answer = v.pick(_COURTESY)
    return say("courtesy", v.pick(questions), reasoning, answer)


def capital(v: Values) -> Turn:
    """Capitals of the listed countries."""
    zh, capital_zh, en, capital_en = v.pick(words.CAPITALS)
    if v.language() == "zh":
        mark = v.pick(("？", "?", "", "。"))
        pattern = v.pick(_CAPITAL_ZH)
        return say("capital", pattern.format(zh) + mark, f"问{zh}的首都。", f"{zh}的首都是{capital_zh}。")
    mark = v.pick(("?", "?", "", "."))
    pattern = v.pick(_CAPITAL_EN)
    answer = f"The capital of {en} is {capital_en}" + ("" if capital_en.endswith(".") else ".")
    return say("capital", pattern.format(en) + mark, f"Capital of {en}.", answer)


def dictionary(v: Values) -> Turn:
    """Single words between Chinese and English."""
    zh, en = v.pick(words.DICTIONARY)
    if v.chance(0.5):
        pattern = v.pick(_TO_ENGLISH)
        return say("dictionary", pattern.format(zh), f"{zh}的英文。", f"“{zh}”的英文是 {en}。")
    pattern = v.pick(_TO_CHINESE)
    return say("dictionary", pattern.format(en), f"{en} 的中文。", f"{en} 的中文是“{zh}”。")


def repeat(v: Values) -> Turn:
    """Copying text and numbers exactly."""
    text = v.pick(
        (
            v.han(1, 8),
            v.phrase("zh"),
            v.phrase("en"),
            v.digits(1, 12),
            v.digits(3, 8),
            v.digits(2, 5),
            v.person("zh") + v.place("zh"),
            v.person("en"),
            v.code() + v.digits(1, 4),
        )
    )
    if v.chance(0.1):
        text = v.pick(_COMMON_REPEATS)
    if v.language() == "zh":
        pattern = v.pick(_REPEAT_ZH)
        return say("repeat", pattern.format(text), "照原文重复。", text)
    pattern = v.pick(_REPEAT_EN)
    if pattern == "Say {}" and v.chance(0.3):
        return say("repeat", pattern.format(text) + ".", "Repeat the text.", text)
    return say("repeat", pattern.format(text), "Repeat the text.", text)


def sums(v: Values) -> Turn:
    """One-digit additions only: these are facts that a small model can hold."""
    a, b = v.integer(0, 9), v.integer(0, 9)
    plus = v.pick(("+", " + "))
    if v.language() == "zh":
        pattern = v.pick(_SUMS_ZH)
        return say("sums", pattern.format(a=a, b=b, p=plus), "一位数加法。", f"{a}+{b}={a + b}。")
    pattern = v.pick(_SUMS_EN)
    return say("sums", pattern.format(a=a, b=b, p=plus), "A one-digit sum.", f"{a}+{b}={a + b}.")
