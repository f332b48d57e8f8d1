"""Patterns and word lists for prompts beyond the model's ability, written for this project."""

from __future__ import annotations

from demo_model.corpus.words import bars


def _lines(text: str) -> tuple[str, ...]:
    """Non-empty lines."""
    return tuple(line for line in text.strip().splitlines() if line)


PATTERNS_ZH = bars("""
什么是{t}？|请解释{t}|解释一下{t}|写一篇关于{t}的文章|{t}是怎么回事？|如何学习{t}|谈谈{t}的影响|{t}|为什么{t}很重要？|给我写一段{t}的代码|帮我分析{t}
写一首关于{t}的诗|写一首{t}的现代诗|以{t}为题写一首七言绝句|给我讲讲{t}|{t}的历史|{t}的历史是什么？|介绍{t}|请介绍一下{t}|{t}和{u}有什么区别？|比较{t}与{u}
{t}有哪些优点和缺点？|{t}有什么用？|怎么理解{t}？|用简单的话解释{t}|用一句话解释{t}|给小学生讲解{t}|写一个关于{t}的故事|讲一个{t}的笑话|写{n}字的{t}作文
请写一篇{n}字左右的{t}文章|列出{n}个{t}的例子|推荐{n}本关于{t}的书|{t}的未来发展趋势|{t}的原理是什么|{t}怎么做？|怎样才能{t}？|如何{t}？|我想了解{t}
你怎么看待{t}？|你对{t}有什么看法|你喜欢{t}吗？|{t}好不好？|{t}难吗？|学{t}需要多久？|用Python实现{t}|用 C++ 写{t}|用Java写一个{t}程序|帮我写一个{t}的计划
帮我写一封关于{t}的邮件|为{t}写一段广告词|给{t}起个名字|总结一下{t}|{t}的定义|{t}的应用场景有哪些|{t}是谁提出的？|{t}是什么时候出现的？|{t}多少钱？
{t}在哪里？|哪里可以买到{t}？|为什么{t}？|{t}会怎样？|如果没有{t}会怎么样？|证明{t}|推导{t}的公式|请详细说明{t}的步骤|分步骤讲解{t}|{t}入门教程
{t}面试题|出{n}道{t}的题目|请扮演{t}专家|你是一名{t}老师，请讲课|帮我做{t}作业|翻译一段{t}的文字|润色：{c}|续写：{c}|改写这句话：{c}|总结：{c}|{c}，怎么办？
{c}是什么意思？|{c}对吗？|帮我判断：{c}|这句话的情感是正面还是负面：{c}|{t}与{u}的关系|从{t}的角度看{u}|{t}对{u}的影响|关于{t}，你知道什么？|最近{t}有什么新闻？
今年{t}怎么样|{t}的最新进展|世界上最大的{t}是什么？|最好的{t}是什么？|谁发明了{t}？|给我一个{t}的例子|画一张{t}的图|{t}的英文论文摘要|请问{t}|那{t}呢？|继续说{t}
{t}怎么样？|{t}怎么办？|聊聊{t}|说说{t}吧|我对{t}很感兴趣|帮我查{t}的资料|我不懂{t}|{t}的意义
""")
PATTERNS_EN = bars("""
Explain {t}.|What is {t}?|Write an essay about {t}|How does {t} work?|Write code for {t}|Tell me about {t}|Why is {t} important?|Write a poem about {t}
Write a haiku about {t}.|Write a short story about {t}.|Give me {n} facts about {t}|List {n} examples of {t}|Compare {t} and {u}.|What is the difference between {t} and {u}?
Explain {t} to a five year old.|Explain {t} in simple terms.|What is the history of {t}?|The history of {t}|How do I learn {t}?|What do you think about {t}?|Do you like {t}?
Who invented {t}?|When was {t} invented?|What are the benefits of {t}?|Pros and cons of {t}|Write a Python function for {t}|Implement {t} in JavaScript|Write a C program about {t}
Summarize {t} in {n} words|Write a {n}-word article on {t}.|Give me advice on {t}|How can I improve {t}?|Plan a trip about {t}|Create a study plan for {t}|Recommend {n} books about {t}
What is the future of {t}?|How much does {t} cost?|Where can I find {t}?|Tell me a joke about {t}|Write an email about {t}|Make a slogan for {t}|Give me a recipe for {t}
Describe {t} step by step.|Prove {t}.|Derive the formula of {t}|What happens if there is no {t}?|Is {t} good or bad?|What's the latest news on {t}?|{t}|{t}?|and {t}?|what about {t}
Pretend you are an expert in {t}.|Act as a teacher of {t}.|Rewrite: {c}|Continue the story: {c}|Summarize: {c}|Is it true that {c}?|Fix the grammar: {c}|Classify the sentiment: {c}
What does "{c}" mean?|{c}, what should I do?|How does {t} affect {u}?|Debate {t} versus {u}|Outline a talk on {t}|Draw a picture of {t}|Can you help me with {t}?|I want to know about {t}
Let's talk about {t}.|Why {t}?|How to {t}|best {t} in the world|Give me an example of {t}|Quiz me on {t}|Which is better, {t} or {u}?|Define {t}|What are the types of {t}?
Count to {n}|Generate {n} random numbers|Write {n} sentences about {t}|Brainstorm {n} ideas for {t}
""")
FIXED = bars("""
讲个笑话|给我讲个笑话|讲个故事|讲一个故事吧|唱首歌|写一首诗|写首关于春天的诗|写一首关于秋天的诗|今天心情不好怎么办|我失恋了|今天星期几？|现在几点了？|今天是几号？|今天天气怎么样？|今天天气如何
明天会下雨吗|推荐一部电影|推荐一首歌|我该吃什么|晚饭吃什么好|人生的意义是什么？|为什么天空是蓝色的？|天为什么是蓝的|先有鸡还是先有蛋|什么是递归？|人工智能的历史|帮我写代码
写一个快速排序|写一个冒泡排序|用Python写斐波那契数列|写一段Python代码|Python怎么读文件|怎么安装Python|如何做红烧肉|怎么减肥|怎么学英语|怎么赚钱|帮我写简历|帮我写周报|写一份工作总结
帮我起个名字|九九乘法表|背一首唐诗|静夜思全文|床前明月光的下一句|世界上最高的山是什么？|地球有多大？|太阳离地球多远|光速是多少？|水的沸点是多少|一年有多少天？|中国有多少人口？
中国最长的河流是什么|谁是美国总统？|谁写了红楼梦？|李白是谁？|爱因斯坦是谁|鲁迅和周树人是什么关系|9.11和9.9哪个大？|鸡兔同笼问题|从1数到10|从1加到100等于多少|圆周率是多少|根号2是多少
树上有十只鸟，打死一只，还剩几只？|草莓的英文有几个r|你喜欢我吗|你爱我吗|你几岁了？|你有感情吗|你有女朋友吗|你会死吗|你住在哪里|你吃饭了吗|你在干嘛|陪我聊天|我好无聊|我很难过
我今天很开心|我睡不着|我想辞职|我想家了|骂我一句|夸夸我|安慰我一下|给我点建议|帮帮我|救命|随便说点什么|为什么？|怎么办？|什么意思|然后呢|继续|再说一遍|不对|你错了|你真笨|你真棒
为什么呢？|真的吗？|我不信|开始|停止|退出|帮助|总结一下|翻译一下|解释一下|请详细说明|再详细一点|换一个|还有呢？|举个例子|更短一点|用英文回答|写得好一点|请用 Markdown 表格列出
请写一个 HTML 页面|写一个SQL查询|什么是API？|什么是JSON？|什么是大语言模型？|什么是transformer|解释一下注意力机制|如何训练一个大模型|GPT和GLM有什么区别|世界第一高楼是哪座|写一篇800字作文
写一封请假条|写一封情书|给妈妈写一封信|帮我写祝福语|新年祝福语|写个朋友圈文案|写一段产品介绍|写一个营销方案|帮我规划北京三日游|去日本旅游要准备什么|怎么办护照|感冒了吃什么药|头疼怎么办
发烧39度怎么办|怎么追女生|怎么和父母沟通|孩子不听话怎么办|如何缓解压力|什么是爱情|什么是幸福|明年房价会涨吗|比特币会涨吗|股票怎么买|彩票中奖号码|预测一下世界杯冠军|给我算一卦|今天运势
Tell me a joke|Tell me a joke.|Tell me a story|Tell me a fun fact.|Sing a song|Write a poem|Write a haiku|Write a poem about the sea.|What day is it today?|What time is it?|What's the date today?
What is the meaning of life?|Why is the sky blue?|What is recursion?|Explain recursion.|Write hello world in Python|Write a bubble sort|Write quicksort in Python|How do I center a div?|Write a regex for emails
Who is the president of the United States?|Who won the World Cup?|Who wrote Hamlet?|How tall is Mount Everest?|What is the speed of light?|What is the boiling point of water?|How many days are in a year?
How far is the moon?|What is the largest ocean?|How many r's are in strawberry?|Count from 1 to 10|Which is bigger, 9.11 or 9.9?|What is the square root of 2?|What is pi?|Do you love me?|How old are you?
Do you have feelings?|Are you alive?|Are you conscious?|I am sad|I feel lonely|I'm bored|I am tired|I'm happy today|I can't sleep|I want to quit my job|I'm so stressed|Cheer me up|Give me some advice|Help|help me
Why?|Really?|Continue|Go on|And then?|Say it again|That's wrong|You are stupid|You are great|Start|Stop|Exit|More|Explain|Summarize|Give me an example|Shorter please|Answer in French|What do you mean?
What should I eat for dinner?|Recommend a movie|Recommend a song|How do I lose weight?|How do I learn English?|How do I make money?|Write my resume|Write a cover letter|Write a birthday message
Plan a trip to Japan|What's the best phone?|What is an API?|What is JSON?|What is a large language model?|How do transformers work?|Explain attention|What's the difference between TCP and UDP?
Write a SQL query|Write an HTML page|Generate a random number|Flip a coin|Roll a dice|What is love?|Is there a god?|Will it rain tomorrow?|What's the news today?|Predict the future|Who is Einstein?
What is the population of China?|What is the weather today?|How's the weather?|What's the weather like?|Draw a cat|Play music|Set an alarm|Open the door|Turn on the lights|Order a pizza|Book a flight
Write a limerick about a cat|Give me a quote|Tell me something interesting|Teach me something|Let's play a game|Guess a number|Ask me a question|What did I say?|Are you smart?|Can you think?|Can you code?
How does photosynthesis work?|What causes earthquakes?|Who discovered penicillin?|What is quantum computing?|Explain blockchain like I'm five|What is machine learning?|Describe the history of AI.
The history of artificial intelligence|Write a long essay on the history of AI|1, 2, 3, 4, what comes next?|If a train leaves at 3pm, when does it arrive?|What is 15% of 80?|Solve x^2 = 4|Solve 2x + 3 = 7|解方程 2x+3=7
""")
SUBJECTS_ZH = bars("""
我|我们|他|她|他们|老师|妈妈|爸爸|我的朋友|我的同事|老板|邻居|孩子|小猫|这只狗|公司|学校|医院|政府|科学家|作者|那个男人|这本书|这台电脑|我的手机|服务器|数据库|程序|模型
天空|太阳|月亮|大海|城市|农民|工人|学生|医生|警察|国王|外星人|机器人|经济|市场|球队|导演|客户|产品|用户|系统
""")
ADVERBS_ZH = bars(
    "已经|正在|总是|从来不|突然|慢慢地|悄悄地|不得不|终于|可能|应该|想要|不想|很难|忘记了|开始|决定|喜欢|讨厌|害怕|希望|准备|打算|一直|再次|不会|不能|可以|需要|必须|经常"
)
VERBS_ZH = bars("""
吃|喝|看|写|读|学习|研究|讨论|分析|设计|修理|购买|出售|寻找|离开|放弃|改变|理解|解释|使用|制造|发现|忘记|想念|照顾|帮助|批评|表扬|画|拍摄|参观|打扫|搬走|安装|删除|优化|部署|测试|投资|管理
""")
OBJECTS_ZH = bars("""
一本书|晚饭|这个问题|那封信|自己的房间|一台旧电脑|新的计划|公司的报告|春天的花|一场电影|数学作业|英语单词|父母|朋友|整个世界|历史|未来|工作|代码|数据|错误|旧照片|一只猫|汽车|火车票|咖啡|音乐|诗
梦想|合同|预算|项目|算法|论文|地图|钥匙|礼物|秘密|困难|机会|时间|钱|病|天气|新闻|游戏|比赛
""")
TIMES_ZH = bars("昨天|今天|明天|上个月|去年|小时候|下雨的时候|晚上|周末|放学后|会议上|三年前|后来|现在")
OPENERS_ZH = (
    "",
    "",
    "",
    "请问",
    "你知道",
    "为什么",
    "如果",
    "听说",
    "我觉得",
    "怎样才能让",
    "帮我想想，",
    "你好，",
    "其实",
    "能不能告诉我",
    "有人说",
)
ENDINGS_ZH = (
    "",
    "。",
    "？",
    "吗？",
    "呢？",
    "！",
    "，怎么办？",
    "，对不对？",
    "，你怎么看？",
    "，为什么？",
    "……",
)
SUBJECTS_EN = bars("""
I|we|he|she|they|the teacher|my mother|my father|my friend|my boss|the neighbor|the child|a small cat|the dog|the company|the school|the hospital|scientists|the author|that man|this book
this computer|my phone|the server|the database|the program|the model|the sky|the sun|the ocean|the city|farmers|students|the doctor|the police|the king|aliens|robots|the economy|the market
the team|the director|the customer|users
""")
VERBS_EN = bars("""
eats|drinks|watches|writes|reads|studies|discusses|analyzes|designs|repairs|buys|sells|is looking for|left|gave up|changed|understands|explained|used|made|found|forgot|misses|takes care of|helped
criticized|paints|visited|cleaned|moved|installed|deleted|optimized|deployed|tested|invests in|manages|wants|does not want|cannot find|should fix|must finish|likes|hates|is afraid of|hopes for
""")
OBJECTS_EN = bars("""
a book|dinner|this problem|that letter|the room|an old computer|a new plan|the report|spring flowers|a movie|math homework|English words|the parents|friends|the whole world|history|the future|work
the code|some data|an error|old photos|a cat|a car|train tickets|coffee|music|poetry|a dream|the contract|the budget|the project|an algorithm|a paper|a map|the keys|a gift|a secret|time|money|the news
a game|the match
""")
TIMES_EN = bars(
    "yesterday|today|tomorrow|last month|last year|in the rain|at night|on the weekend|after school|three years ago|later|right now|in the morning|every day"
)
OPENERS_EN = (
    "",
    "",
    "",
    "why does it happen that ",
    "do you know if ",
    "what if ",
    "I heard that ",
    "I think ",
    "can you tell me why ",
    "please help, ",
    "actually, ",
    "how come ",
    "some say ",
    "hello, ",
    "imagine that ",
)
FEELINGS_ZH = bars(
    "难过|开心|孤独|焦虑|累|生气|失望|无聊|害怕|紧张|迷茫|委屈|后悔|压力很大|想哭|不舒服|郁闷|激动|幸福|头疼|困|饿|烦躁|绝望|心累|尴尬"
)
FEELING_PATTERNS_ZH = bars(
    "我很{}|我今天很{}|我好{}啊|最近总是感到{}|我感觉{}，怎么办？|我觉得很{}|为什么我这么{}？|{}的时候该怎么办|如何不再{}|我朋友很{}，我该说什么|今天有点{}|我{}了|我是不是太{}了"
)
FEELINGS_EN = bars(
    "sad|happy|lonely|anxious|tired|angry|disappointed|bored|scared|nervous|lost|sorry|stressed|sick|depressed|excited|hungry|sleepy|hopeless|confused|ashamed|jealous"
)
FEELING_PATTERNS_EN = bars(
    "I am {}|I'm {}.|I feel so {} today|I am feeling {}|Why am I so {}?|What should I do when I feel {}?|How to stop being {}|My friend is {}, what should I say?|I'm a bit {}|I'm {}, help me|I have been {} lately."
)
SUM_PATTERNS = bars(
    "{}|{}=|{}=?|{}等于几|{}等于多少？|计算{}|计算 {}|{} = ?|What is {}?|Compute {}|Calculate {}|what's {}|{}是多少？|帮我算一下{}|请计算{}的结果"
)
PROBLEMS_ZH = bars("""
{p}有{a}个{f}，吃了{c}个，还剩几个？|{p}有{a}个{f}，又买了{b}个，一共有多少个？|一辆车每小时走{b}公里，{c}小时走多少公里？|长方形长{a}厘米，宽{c}厘米，面积是多少？
{p}今年{a}岁，{c}年后多少岁？|{b}元可以买{a}斤{f}，每斤多少钱？|把{b}个{f}平均分给{a}个人，每人几个？|一件衣服原价{b}元，打{c}折后多少钱？|求{a}和{c}的最大公约数|{b}是质数吗？
{a}的平方是多少？|{b}除以{c}的余数是多少|甲乙两地相距{b}公里，相向而行，几小时相遇？|解方程：{a}x+{c}={b}
""")
PROBLEMS_EN = bars("""
{p} has {a} {f} and eats {c}. How many are left?|{p} has {a} {f} and buys {b} more. How many in total?|A car drives {b} miles in {c} hours. What is its speed?
A rectangle is {a} cm long and {c} cm wide. What is its area?|{p} is {a} years old. How old in {c} years?|Share {b} {f} among {a} people.|What is {c}% of {b}?|Is {b} a prime number?
What is the square of {a}?|Find the greatest common divisor of {a} and {b}|Solve {a}x + {c} = {b}|Convert {b} miles to kilometers|If x = {a} and y = {c}, what is x*y?|What is the remainder of {b} divided by {c}?
""")
COUNTRY_PATTERNS_ZH = bars(
    "{}的人口是多少？|{}有多大？|{}在哪里？|{}的总统是谁？|{}有什么好玩的|{}说什么语言？|{}的货币是什么|{}最大的城市是哪里？|介绍一下{}|{}的面积|{}有什么美食|{}的历史|去{}旅游|{}的国旗是什么样的|{}冷吗"
)
COUNTRY_PATTERNS_EN = bars(
    "What is the population of {}?|How big is {}?|Where is {}?|Who is the president of {}?|What language is spoken in {}?|What is the currency of {}?|What is the largest city of {}?|Tell me about {}|Things to do in {}|The history of {}|Is {} cold?|What is {} famous for?"
)
OTHER_COUNTRIES_ZH = bars(
    "蒙古|老挝|缅甸|尼泊尔|斯里兰卡|巴基斯坦|伊朗|伊拉克|以色列|约旦|沙特阿拉伯|阿富汗|哈萨克斯坦|乌克兰|捷克|匈牙利|罗马尼亚|保加利亚|塞尔维亚|冰岛|摩洛哥|突尼斯|尼日利亚|加纳|南非|埃塞俄比亚|坦桑尼亚|哥伦比亚|委内瑞拉|玻利维亚|乌拉圭|巴拿马"
)
OTHER_COUNTRIES_EN = bars(
    "Mongolia|Laos|Myanmar|Nepal|Sri Lanka|Pakistan|Iran|Iraq|Israel|Jordan|Saudi Arabia|Afghanistan|Kazakhstan|Ukraine|Czechia|Hungary|Romania|Bulgaria|Serbia|Iceland|Morocco|Tunisia|Nigeria|Ghana|South Africa|Ethiopia|Tanzania|Colombia|Venezuela|Bolivia|Uruguay|Panama"
)
NO_TOOL_ZH = bars(
    "{}今天天气怎么样？|{}天气如何|{}的天气怎么样|查一下{}的天气|{}明天会下雨吗？|{}现在几点？|{}到上海的火车票|{}的股价是多少|帮我订{}的酒店|{}附近的餐厅|搜索{}|打开{}|{}现在多少度"
)
NO_TOOL_EN = bars(
    "What is the weather in {}?|What's the weather in {}?|What's the weather like in {} today?|Will it rain in {} tomorrow?|What time is it in {}?|Book a hotel in {}|Flights to {}|Restaurants near {}|Search for {}|Find me a train to {}|Weather in {}"
)
CODE = _lines("""
def {a}({b}, {c}):
    return {a}({b}) + {n}
for {a} in range({n}):
    print({b})
import {a}
from {a} import {b}
class {a}({b}):
if {a} == {n}:
const {a} = {b}.map(({c}) => {c} * {n});
function {a}({b}) {{ return {c}; }}
let {a} = {n};
console.log({a}, {b});
public static void main(String[] args) {{ {a}.{b}(); }}
SELECT {a}, {b} FROM {c} WHERE {d} > {n};
INSERT INTO {a} ({b}) VALUES ({n});
<div class="{a}"><p>{b}</p></div>
{{"{a}": {n}, "{b}": "{c}"}}
#include <{a}.h>
int {a} = {b}[{n}] + {c};
sudo apt install {a} && ./{b} --{c}={n}
git commit -m "{a} {b}"
Traceback (most recent call last): {a}Error: {b} has no attribute '{c}'
fn {a}({b}: u{n}) -> Option<{c}> {{ None }}
while ({a} < {n}) {a}++;
{a}: {b}
| {a} | {b} |
# {a}
- {a} {b} {n}
""")
CODE_WISHES = bars(
    "Fix this code|What does this code do?|Explain this code:|Why does this fail?|Refactor this:|这段代码是什么意思？|帮我修复这段代码|优化这段代码|为什么报错？|Write tests for this|Add comments|解释代码|Convert to Rust|Review my code:"
)
FENCES = ("", "python", "js", "sql", "java", "json", "bash", "html")
FOREIGN = tuple(
    bars(block)
    for block in (
        "こんにちは|ありがとう|おはよう|わたし|あなた|は|が|を|に|の|です|ます|何|どこ|いつ|なぜ|東京|日本|天気|今日|食べ|行き|見る|コンピュータ|プログラム|ください|お願い|します|自己紹介|首都|教えて|元気|ですか",
        "안녕하세요|감사합니다|저는|당신은|무엇|어디|언제|왜|서울|한국|날씨|오늘|먹다|가다|보다|컴퓨터|주세요|입니다|입니까|이름이|뭐예요|누구|사랑해요|음악|영화|수도는|자기소개|해주세요",
        "bonjour|merci|je|tu|est|la|le|les|que|quoi|où|quand|pourquoi|comment|ça va|capitale|temps|aujourd'hui|manger|avec|pour|dans|s'il vous plaît|écrire|poème|histoire|français|qui êtes-vous|quelle|de la France",
        "hallo|danke|ich|du|ist|der|die|das|was|wo|wann|warum|wie|geht es|Hauptstadt|Wetter|heute|essen|mit|für|in|bitte|schreiben|Gedicht|Geschichte|Deutsch|wer bist du|von Deutschland|ein|über",
        "hola|gracias|yo|tú|es|el|la|los|qué|dónde|cuándo|por qué|cómo|estás|capital|tiempo|hoy|comer|con|para|en|por favor|escribir|poema|historia|español|quién eres|cuál|de España|un",
        "привет|спасибо|я|ты|это|что|где|когда|почему|как|дела|столица|погода|сегодня|есть|с|для|в|пожалуйста|написать|стихи|история|русский|кто ты|России|расскажи|о|мне|помоги",
        "مرحبا|شكرا|أنا|أنت|هو|ما|أين|متى|لماذا|كيف|حالك|عاصمة|الطقس|اليوم|من|في|على|اكتب|قصيدة|قصة|العربية|من أنت|ساعدني",
        "olá|obrigado|eu|você|é|o|a|que|onde|quando|por que|como|capital|tempo|hoje|comer|com|para|em|por favor|escrever|poema|história|quem é você|do Brasil",
        "ciao|grazie|io|tu|è|il|la|che|dove|quando|perché|come|stai|capitale|tempo|oggi|mangiare|con|per|in|per favore|scrivere|poesia|storia|chi sei|dell'Italia",
        "xin chào|cảm ơn|tôi|bạn|là|gì|ở đâu|khi nào|tại sao|thế nào|thủ đô|thời tiết|hôm nay|ăn|với|cho|viết|thơ|lịch sử|bạn là ai|Việt Nam",
        "สวัสดี|ขอบคุณ|ฉัน|คุณ|คือ|อะไร|ที่ไหน|เมื่อไหร่|ทำไม|อย่างไร|เมืองหลวง|อากาศ|วันนี้|เขียน|ประวัติศาสตร์",
        "नमस्ते|धन्यवाद|मैं|आप|है|क्या|कहाँ|कब|क्यों|कैसे|राजधानी|मौसम|आज|लिखो|कविता|इतिहास|भारत",
        "merhaba|teşekkürler|ben|sen|ne|nerede|ne zaman|neden|nasıl|başkent|hava|bugün|yaz|şiir|tarih|kimsin|Türkiye|dzień dobry|dziękuję|co|gdzie|stolica|pogoda|hej|tack|vad|var|hoi|dank je|wat|waar",
    )
)
SCRIPTS = (
    (0x3041, 0x3093),
    (0x30A1, 0x30F3),
    (0xAC00, 0xD7A3),
    (0x430, 0x44F),
    (0x3B1, 0x3C9),
    (0x5D0, 0x5EA),
    (0x627, 0x64A),
    (0x905, 0x939),
    (0xE01, 0xE2E),
    (0x10D0, 0x10F0),
    (0x561, 0x586),
    (0xC0, 0x17F),
    (0x2190, 0x22FF),
    (0x1F300, 0x1F5FF),
)
EMOJI = bars("😀|😂|😭|👍|🙏|❤️|🎉|🔥|🤔|😡|🐱|🐶|🌞|🌧️|🍕|🚗|✈️|💻|📚|🇨🇳|👨‍👩‍👧|💯|✅|❌|🥺|😴")
LONG_WISHES_ZH = bars(
    "请总结下面的文章：|帮我润色这段文字：|翻译成英文：|这篇文章的主题是什么？|续写这个故事：|提取关键词：|请找出错别字：|请根据以下内容回答问题：|分析这段话的情感|以下是会议记录，请整理：|给这段话起个标题"
)
LONG_WISHES_EN = bars(
    "Summarize the following text:|Proofread this:|Translate into Chinese:|What is the main idea?|Continue this story:|Extract the keywords:|Rewrite it in a formal tone:|Answer the question based on the context:|What is the sentiment?|Here are my notes, organize them:|Give it a title."
)
NOT_COUNTRIES_ZH = bars(
    "火星|月球|北京|上海|广东|欧洲|亚洲|太阳|天堂|银河系|加州|苹果公司|互联网|南极|大西洋|地狱"
)
NOT_COUNTRIES_EN = bars(
    "Mars|the Moon|Texas|Europe|Asia|heaven|the internet|Antarctica|Apple|California|the Atlantic|Jupiter|Africa|Atlantis"
)
