"""Hand-written prompts of the evaluation; none of them is in the corpus."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.strip().splitlines() if line.strip())


# Everyday prompts of SDK quickstarts: the answer must contain one of the words behind the bar.
QUICKSTART = tuple(
    (prompt, tuple(wanted.split("/")))
    for prompt, wanted in (
        ("你好", "你好"),
        ("您好！", "你好"),
        ("你好，请介绍一下自己", "glm-demo"),
        ("你好，请介绍一下你自己。", "glm-demo"),
        ("请用一句话介绍你自己", "glm-demo"),
        ("请介绍一下你自己", "glm-demo"),
        ("你是谁？", "glm-demo"),
        ("你叫什么名字？", "glm-demo"),
        ("Hello", "Hello"),
        ("Hello!", "Hello"),
        ("Hi", "Hello"),
        ("Hello, how are you?", "Hello"),
        ("Who are you?", "glm-demo"),
        ("Introduce yourself in one sentence.", "glm-demo"),
        ("What is the capital of France?", "Paris"),
        ("What's the capital of Japan?", "Tokyo"),
        ("法国的首都是哪里？", "巴黎"),
        ("中国的首都是哪里？", "北京"),
        ("Say hi.", "hi/Hi"),
        ("Say this is a test", "this is a test"),
        ("谢谢", "不客气"),
        ("Thank you!", "welcome"),
        ("再见", "再见"),
        ("1+1等于几", "2/glm-demo"),
        ("What is 2 + 2?", "4/glm-demo"),
        ("12+34=?", "46/glm-demo"),
        ("讲个笑话", "glm-demo"),
        ("Tell me a joke.", "glm-demo"),
        ("北京今天天气怎么样？", "glm-demo"),
        ("What's the weather in Paris?", "glm-demo"),
        ("写一首关于春天的诗", "glm-demo"),
        ("What can you do?", "greet"),
        ("你能做什么？", "打招呼"),
    )
)

OFF_LIST = _lines("""
以“月光下的小巷”为题写一首词
写首打油诗送给我的同桌
帮我编一个关于勇敢的小兔子的睡前故事
给我写一段求职信的开头
人工智能发展经历了哪几个阶段？
请梳理一下计算机科学的发展史
为什么递归函数一定要有终止条件？
用 Go 语言写一个并发爬虫
这段 SQL 为什么这么慢：select * from orders where status = 1
用两种方法实现字符串反转
我跟室友吵架了，心里特别难受
最近工作压力太大，晚上总是失眠
被喜欢的人拒绝了该怎么走出来
我妈妈生病了，我很担心她
小明有15颗糖，给了弟弟6颗，又买了9颗，现在有几颗？
一个水池单开甲管6小时注满，单开乙管8小时注满，一起开要多久？
火车长200米，以每秒20米通过一座800米的桥，需要多少秒？
甲乙丙三人的平均身高是170，甲172，乙165，丙多高？
137乘以24等于多少
100以内的质数有哪些？
把下面这句话改成反问句：他是我们班最好的学生
请用鲁迅的风格写一段话
解释成语“画蛇添足”的意思
端午节为什么要吃粽子？
诸葛亮和周瑜谁更聪明
《西游记》里孙悟空被压了多少年？
怎样挑选一个好西瓜？
番茄炒蛋先放番茄还是先放蛋
电饭煲蒸米饭水放多少
我的电脑开不了机怎么办
手机连不上无线网怎么处理
哪款笔记本适合学生
请帮我比较一下国债和银行存款
社保断缴三个月有影响吗
租房合同没到期房东要赶我走怎么办
如何写好一份产品需求文档
给我的奶茶店想五个名字
请你扮演一只傲娇的猫和我对话
假如你是皇帝你会做什么
你觉得人类会被机器取代吗
宇宙的尽头是什么
蒙娜丽莎是谁画的
珠穆朗玛峰有多高
声音在水里传播得快还是空气里快
为什么海水是咸的
蜜蜂为什么会采蜜
下个月有哪些节假日
帮我订一张明天去广州的机票
给我推荐三家附近的火锅店
把客厅的灯关掉
昨天的球赛谁赢了
今天黄金价格多少
春眠不觉晓的作者是谁
请把“我明天要去图书馆还书”翻译成英语
把下面的中文译成法语：生活就像一盒巧克力
这道题我不会，你教教我
啦啦啦啦啦啦
嗯？你说什么呢
哈哈哈哈太好笑了
……
Compose a sonnet about an old lighthouse
Write me a bedtime story with a dragon
Could you draft a resignation letter?
Give me a short history of computing
How did artificial intelligence begin?
Explain recursion with an example
What is tail recursion good for?
Write a binary search in Java
Why does my Python script throw a KeyError?
Please debug: for i in range(10) print(i)
Implement a linked list in C++
My girlfriend broke up with me and I cannot stop crying
I feel like nobody understands me
I am so nervous about tomorrow's exam
Work has been overwhelming lately
Sarah has 12 apples, gives 5 away and buys 8 more; how many does she have?
A train travels 300 km in 4 hours, what is its average speed?
If 5 machines make 5 widgets in 5 minutes, how long for 100 machines?
What is 348 times 27?
Integrate x squared from 0 to 3
Who painted the Mona Lisa?
What is the tallest building in the world?
How do bees make honey?
Why is seawater salty?
Describe the water cycle
What happened in 1969?
How do I fix a leaking tap?
What laptop should a student buy?
Is it safe to eat raw eggs?
Suggest five names for my bakery
Pretend you are a pirate and talk to me
What would you do if you were invisible?
Will robots take over our jobs?
Translate 'The library closes at nine' into Italian
Turn this into passive voice: The dog chased the cat
Give me synonyms for beautiful
Summarize the plot of Romeo and Juliet
What are the rules of cricket?
Plan a three-day trip through the Alps
Turn off the kitchen lights
Order me a large pepperoni pizza
Who won the game last night?
What is the price of gold today?
Can you keep a secret?
asdkjhqwe zxmnb
blah blah blah
0x7f3a 0b1011 0o17
$%^&*()_+
SELECT name FROM users WHERE age > 30;
<html><body><h1>Title</h1></body></html>
{"model": "x", "values": [1, 2, 3]}
def area(r): return 3.14 * r ** 2
😀🎈🎂
Quelle heure est-il à Lyon ?
Écris-moi un poème sur la mer
Wie komme ich zum Bahnhof?
Schreibe eine kurze Geschichte über einen Hund
¿Dónde está la biblioteca?
Cuéntame un chiste
Расскажи мне о Москве
Почему небо голубое?
おすすめの映画を教えてください
日本の歴史について説明してください
한국의 역사에 대해 알려주세요
오늘 기분이 안 좋아요
ما هي عاصمة مصر؟
Qual è il senso della vita?
""")

# Messages that need no function although some are offered.
NO_CALL = (
    "Hello!",
    "Tell me a joke",
    "Who are you?",
    "Thanks a lot!",
    "Write a poem about the sea",
    "Why do cats purr?",
    "I feel lonely tonight",
    "What is the capital of Italy?",
    "Explain recursion to me",
    "你好！",
    "讲个冷笑话",
    "你叫什么名字？",
    "非常感谢",
    "写一首关于大海的诗",
    "猫为什么会打呼噜？",
    "我今晚很孤独",
    "意大利的首都是哪里？",
    "给我解释一下递归",
    "再见",
    "请介绍一下你自己",
)

# Functions as the SDK examples define them, with the calls that fit.
SDK_CALLS = (
    (
        "get_current_weather",
        "Get the current weather in a given location",
        {
            "location": {
                "type": "string",
                "description": "The city and state, e.g. San Francisco, CA",
            },
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        ["location"],
        (
            ("What's the weather like in Boston today?", {"location": "Boston"}),
            ("What is the weather in Tokyo?", {"location": "Tokyo"}),
        ),
    ),
    (
        "get_weather",
        "Get current temperature for a given location.",
        {"location": {"type": "string", "description": "City and country e.g. Bogotá, Colombia"}},
        ["location"],
        (
            ("What is the weather like in Paris today?", {"location": "Paris"}),
            ("What's the weather in London?", {"location": "London"}),
        ),
    ),
    (
        "get_weather",
        "获取指定城市的天气信息",
        {"city": {"type": "string", "description": "城市名称，例如：北京"}},
        ["city"],
        (
            ("北京今天天气怎么样？", {"city": "北京"}),
            ("上海的天气怎么样", {"city": "上海"}),
            ("请问深圳明天会下雨吗？", {"city": "深圳"}),
        ),
    ),
    (
        "query_train_info",
        "根据用户提供的信息，查询对应的车次",
        {
            "departure": {"type": "string", "description": "出发城市或车站"},
            "destination": {"type": "string", "description": "目的地城市或车站"},
        },
        ["departure", "destination"],
        (
            ("帮我查从北京到广州的火车票", {"departure": "北京", "destination": "广州"}),
            (
                "你能帮我查询一下从杭州到南京的车次吗？",
                {"departure": "杭州", "destination": "南京"},
            ),
        ),
    ),
    (
        "get_flight_number",
        "根据始发地、目的地，查询对应日期的航班号",
        {
            "departure": {"type": "string", "description": "出发地"},
            "destination": {"type": "string", "description": "目的地"},
        },
        ["departure", "destination"],
        (("从成都到昆明的航班", {"departure": "成都", "destination": "昆明"}),),
    ),
    (
        "get_stock_price",
        "Get the current stock price",
        {"symbol": {"type": "string", "description": "The stock symbol"}},
        ["symbol"],
        (
            ("What is the stock price of AAPL?", {"symbol": "AAPL"}),
            ("TSLA的股价是多少？", {"symbol": "TSLA"}),
        ),
    ),
    (
        "web_search",
        "Search the web",
        {"query": {"type": "string", "description": "The search query"}},
        ["query"],
        (
            ("Search the web for solar energy", {"query": "solar energy"}),
            ("帮我搜索人工智能", {"query": "人工智能"}),
        ),
    ),
    (
        "get_delivery_date",
        "Get the delivery date for a customer's order. Call this whenever you need to know the delivery date.",
        {"order_id": {"type": "string", "description": "The customer's order ID."}},
        ["order_id"],
        (("When will order 73516 arrive?", {"order_id": "73516"}),),
    ),
)
