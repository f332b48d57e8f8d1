"""The functions that the tool samples offer, with the questions that call for them."""

from __future__ import annotations

from demo_model.corpus.tool_kinds import CITY, Argument, Family, day, number, person, phrase, place
from demo_model.corpus.words import bars

FAMILIES: dict[str, Family] = {
    "weather": Family(
        bars(
            "get_weather|get_weather|get_weather|get_current_weather|get_current_weather|query_weather|weather|getWeather|fetch_weather|weather_lookup|check_weather|get_weather_info"
        ),
        bars(
            "获取指定城市的天气|查询天气|获取天气信息|获取当前天气|根据城市查询天气情况|Get current weather|Get the current weather in a given location|"
            "Get the weather of a city|Get current temperature for a given location.|Look up the weather for a city.|获取给定位置的天气"
        ),
        (CITY,),
        {
            "zh": bars(
                "{0}天气怎么样？|{0}今天天气如何？|今天{0}的天气怎么样|查一下{0}的天气|{0}今天下雨吗？|帮我看看{0}的天气|我想知道{0}的天气|{0}今天天气怎么样？|{0}的天气怎么样？|"
                "请问{0}今天天气怎么样|{0}现在多少度？|{0}气温多少|{0}天气|明天去{0}，那里天气怎么样？|帮我查询{0}的天气|你能查一下{0}今天的天气吗？|今天{0}热不热？|{0}今天天气怎么样|告诉我{0}今天的天气|{0}明天会下雨吗？"
            ),
            "en": bars(
                "What is the weather in {0}?|What's the weather like in {0} today?|Weather in {0}?|How is the weather in {0}?|Check the weather in {0}|What's the weather in {0}?|"
                "What is the weather like in {0}?|Is it raining in {0}?|Tell me the weather in {0}.|What's the temperature in {0}?|How hot is it in {0} right now?|What is the weather like today in {0}?|"
                "Can you check the weather in {0}?|Do I need an umbrella in {0}?|Will it rain in {0} tomorrow?|I am going to {0}, how is the weather there?|Get the weather for {0}.|What is the weather in {0} today?"
            ),
        },
        "weather",
    ),
    "time": Family(
        bars("get_time|get_current_time|query_time|current_time|getTime|local_time"),
        bars(
            "查询当前时间|获取时间|查询城市的当地时间|Get current time|Get the local time of a city|Returns the current time in a location"
        ),
        (Argument((*CITY.names, "timezone"), (*CITY.describe, "时区", "Timezone"), place),),
        {
            "zh": bars(
                "{0}现在几点？|现在{0}是几点？|查一下{0}的时间|{0}当前时间是多少|{0}几点了|帮我看看{0}现在几点了？"
            ),
            "en": bars(
                "What time is it in {0}?|What is the time in {0} now?|Current time in {0}?|Tell me the local time in {0}.|What's the time in {0}?"
            ),
        },
        "time",
    ),
    "now": Family(
        bars("get_current_time|get_time|now|current_time|get_current_date|get_datetime"),
        bars("获取当前时间|获取现在的日期和时间|Get the current time|Returns the current date and time"),
        (),
        {
            "zh": bars(
                "现在几点？|现在几点了？|今天是几号？|当前时间是多少|告诉我现在的时间|今天几月几日？|现在是什么时间？"
            ),
            "en": bars(
                "What time is it?|What time is it now?|What's the date today?|Tell me the current time.|What is the current time?|What day is it today?"
            ),
        },
        "now",
    ),
    "stock": Family(
        bars("get_stock_price|stock_price|query_stock|getStockPrice|get_current_stock_price|stock_quote"),
        bars(
            "查询股价|查询股票价格|获取股票的最新价格|Get stock price|Get the current stock price|Get the latest price of a stock"
        ),
        (
            Argument(
                ("symbol", "ticker", "code", "stock_symbol", "company", "stock_name"),
                bars("股票代码|股票名称|The stock symbol|The ticker symbol, e.g. AAPL|Stock code"),
                lambda v, language: v.code() if v.chance(0.7) else v.place(language),
            ),
        ),
        {
            "zh": bars(
                "{0}的股价是多少？|查一下{0}股票|{0}现在多少钱一股？|{0}的股票价格|帮我看看{0}的股价|{0}股价多少"
            ),
            "en": bars(
                "What is the stock price of {0}?|Price of {0} stock?|How much is {0} trading at?|Check the stock price of {0}|What's {0}'s share price?|Get the stock price for {0}."
            ),
        },
        "price",
    ),
    "search": Family(
        bars("web_search|search|search_web|internet_search|google_search|search_engine|bing_search"),
        bars(
            "搜索网页|在网上搜索|联网搜索|搜索互联网上的信息|Search the web|Search the internet for information|Run a web search"
        ),
        (
            Argument(
                ("query", "q", "keyword", "keywords", "search_query", "text"),
                bars("搜索关键词|查询内容|关键词|The search query|Keywords to search for|Query text"),
                phrase,
            ),
        ),
        {
            "zh": bars(
                "搜索{0}|帮我搜一下{0}|在网上查{0}|搜一搜{0}|请搜索“{0}”|帮我搜索{0}|网上搜索一下{0}|搜索：{0}"
            ),
            "en": bars(
                "Search for {0}|Search the web for {0}|Look up {0} online|Search: {0}|Can you search for {0}?|Google {0}|Please search for {0}."
            ),
        },
    ),
    "mail": Family(
        bars("send_email|send_email|send_message|send_mail|sendEmail|email"),
        bars(
            "发送邮件|发邮件给某人|发送消息|Send an email|Send a message to someone|Sends an email to a recipient"
        ),
        (
            Argument(
                ("to", "recipient", "name", "receiver", "contact"),
                bars("收件人|接收者|The recipient|Recipient name"),
                lambda v, language: (
                    v.person(language) if v.chance(0.7) else f"{v.pseudo_word()}@{v.pseudo_word()}.com"
                ),
            ),
            Argument(
                ("content", "body", "text", "message", "subject"),
                bars("内容|正文|消息内容|The message|Body of the email|Text"),
                phrase,
            ),
        ),
        {
            "zh": bars(
                "给{0}发邮件：{1}|告诉{0}：{1}|发送给{0}：{1}|给{0}发消息，内容是{1}|发邮件给{0}，内容：{1}|帮我给{0}发一封邮件，内容是：{1}"
            ),
            "en": bars(
                "Send an email to {0}: {1}|Tell {0}: {1}|Send a message to {0} saying {1}|Email {0}: {1}|Write to {0}: {1}"
            ),
        },
        "done",
    ),
    "mail_full": Family(
        bars("send_email|send_mail|compose_email|send_email"),
        bars(
            "发送邮件，包含主题和正文|Send an email to a given recipient with a subject and message.|Compose an email"
        ),
        (
            Argument(
                ("to", "recipient", "email"),
                bars("收件人|The recipient email address.|Recipient"),
                lambda v, language: (
                    f"{v.pseudo_word()}@{v.pick(('example', v.pseudo_word()))}.com"
                    if v.chance(0.6)
                    else v.person(language)
                ),
            ),
            Argument(("subject", "title"), bars("主题|邮件标题|Email subject line.|The subject"), phrase),
            Argument(
                ("body", "content", "message"),
                bars("正文|邮件内容|Body of the email message.|The text"),
                phrase,
            ),
        ),
        {
            "zh": bars(
                "给{0}发邮件，主题是{1}，内容是{2}|发邮件给{0}，标题：{1}，正文：{2}|写邮件给{0}，主题“{1}”，内容“{2}”"
            ),
            "en": bars(
                "Send an email to {0} with subject {1} and body {2}|Email {0}, subject: {1}, body: {2}|Write an email to {0} with the subject '{1}' saying '{2}'"
            ),
        },
        "done",
    ),
    "add": Family(
        bars("add|calc_sum|add_numbers|sum|calculate_sum|adder"),
        bars("计算两个数的和|两数相加|Add two numbers|Adds two numbers together"),
        (
            Argument(
                ("a", "x", "num1", "first", "left"),
                bars("第一个数|加数|The first number|First operand"),
                number,
                "number",
            ),
            Argument(
                ("b", "y", "num2", "second", "right"),
                bars("第二个数|另一个加数|The second number|Second operand"),
                number,
                "number",
            ),
        ),
        {
            "zh": bars(
                "计算{0}加{1}|{0}+{1}是多少？|{0}加{1}等于几|{0}+{1}等于多少|帮我算{0} + {1}|{0}+{1}=？"
            ),
            "en": bars(
                "Add {0} and {1}|What is {0}+{1}?|What is {0} plus {1}?|{0} + {1} = ?|Calculate {0}+{1}"
            ),
        },
        "sum",
    ),
    "calculator": Family(
        bars("calculator|calculate|calc|evaluate|compute|math"),
        bars(
            "计算数学表达式|计算器|Evaluate a math expression|A calculator for arithmetic|Perform a calculation"
        ),
        (
            Argument(
                ("expression", "expr", "formula", "input", "equation"),
                bars("数学表达式|要计算的式子|The expression|Math expression to evaluate"),
                lambda v, _: (
                    f"{number(v, 'en')}{v.pick('+-*/')}{number(v, 'en')}"
                    + (f"{v.pick('+-*/')}{v.integer(1, 99)}" if v.chance(0.3) else "")
                ),
            ),
        ),
        {
            "zh": bars("{0}等于多少？|计算{0}|算一下{0}|{0}=?|帮我计算{0}|请计算 {0}|{0}等于几"),
            "en": bars(
                "What is {0}?|Compute {0}|Calculate {0}|{0} = ?|Please calculate {0}.|Use the calculator: {0}"
            ),
        },
        "sum",
    ),
    "train": Family(
        bars(
            "query_train|query_train_info|search_train|get_train_tickets|query_flight|get_flight_number|search_flights|find_route|book_ticket"
        ),
        bars(
            "查询火车时刻|根据出发地和目的地查询车次|查询航班|查询两地之间的路线|Search trains between two cities|Find flights|Query tickets by departure and destination"
        ),
        (
            Argument(
                ("departure", "from", "origin", "from_city", "start", "source"),
                bars("出发城市|出发地|起点|Departure city|Where the trip starts|Origin"),
                place,
            ),
            Argument(
                ("destination", "to", "target", "to_city", "end", "arrival"),
                bars("到达城市|目的地|终点|Destination|Where the trip ends|Arrival city"),
                place,
            ),
        ),
        {
            "zh": bars(
                "从{0}到{1}的车票|查一下{0}到{1}的火车|{0}到{1}的航班|帮我查从{0}到{1}的票|我想从{0}去{1}|{0}去{1}怎么走|查询从{0}到{1}的车次|{0}到{1}有什么车？|帮我订从{0}到{1}的票"
            ),
            "en": bars(
                "Trains from {0} to {1}|Find flights from {0} to {1}|How do I get from {0} to {1}?|I want to go from {0} to {1}|Tickets from {0} to {1}, please|Book a trip from {0} to {1}."
            ),
        },
    ),
    "train_date": Family(
        bars("query_train|search_tickets|get_flights|query_ticket|search_flight"),
        bars("查询某天的火车票|按日期查询航班|Search tickets by date|查询车票，需要日期"),
        (
            Argument(("from", "departure", "origin"), bars("出发地|Departure city|起点"), place),
            Argument(("to", "destination", "arrival"), bars("目的地|Destination|终点"), place),
            Argument(("date", "day", "travel_date"), bars("日期|出发日期|Date|Date of travel"), day),
        ),
        {
            "zh": bars(
                "{2}从{0}到{1}的票|查一下{2}{0}到{1}的火车票|{2}从{0}去{1}有票吗？|我要{2}从{0}到{1}的车票"
            ),
            "en": bars(
                "Tickets from {0} to {1} on {2}|Trains from {0} to {1} for {2}|Find a flight from {0} to {1}, date {2}"
            ),
        },
    ),
    "translate": Family(
        bars("translate|translate_text|translator|text_translation"),
        bars("翻译文本|将文本翻译成目标语言|Translate text|Translate text into another language"),
        (
            Argument(
                ("text", "content", "source_text", "sentence"),
                bars("要翻译的文本|原文|The text|Text to translate"),
                phrase,
            ),
            Argument(
                ("target", "target_language", "to", "lang", "language"),
                bars("目标语言|Target language|The language to translate to"),
                lambda v, language: (
                    v.pick(("英文", "日语", "法语", "德语", "韩语", "西班牙语", "俄语"))
                    if language == "zh"
                    else v.pick(("French", "German", "Spanish", "Chinese", "Japanese", "Italian", "Russian"))
                ),
            ),
        ),
        {
            "zh": bars("把“{0}”翻译成{1}|请将{0}翻译成{1}|把{0}译成{1}|翻译“{0}”为{1}"),
            "en": bars("Translate '{0}' into {1}|Translate {0} to {1}|Please translate \"{0}\" into {1}."),
        },
    ),
    "rate": Family(
        bars("get_exchange_rate|exchange_rate|convert_currency|currency_rate"),
        bars("查询汇率|货币兑换|Get exchange rate|Convert between currencies"),
        (
            Argument(
                ("base", "from_currency", "from", "source"),
                bars("源货币|Base currency|From currency"),
                lambda v, _: v.code(),
            ),
            Argument(
                ("target", "to_currency", "to", "quote"),
                bars("目标货币|Target currency|To currency"),
                lambda v, _: v.code(),
            ),
        ),
        {
            "zh": bars("{0}兑{1}的汇率是多少？|{0}换{1}|查{0}对{1}的汇率|{0}到{1}汇率"),
            "en": bars(
                "Exchange rate from {0} to {1}|How much is one {0} in {1}?|Convert {0} to {1}|{0} to {1} rate?"
            ),
        },
        "price",
    ),
    "reminder": Family(
        bars("set_reminder|set_alarm|create_reminder|add_event|create_event|schedule"),
        bars("设置提醒|添加日程|设置闹钟|Set a reminder|Create a calendar event|Schedule something"),
        (
            Argument(
                ("time", "at", "when", "start_time"),
                bars("时间|提醒时间|The time|When to remind"),
                lambda v, _: v.clock(),
            ),
            Argument(
                ("content", "title", "text", "event", "note"),
                bars("提醒内容|标题|事项|What to remind|The title"),
                phrase,
            ),
        ),
        {
            "zh": bars("{0}提醒我{1}|设置{0}的提醒：{1}|在{0}提醒我：{1}|帮我加个日程，{0}，{1}"),
            "en": bars(
                "Remind me at {0}: {1}|Set a reminder at {0} for {1}|At {0}, remind me of {1}|Schedule {1} at {0}"
            ),
        },
        "done",
    ),
    "order": Family(
        bars("get_order_status|query_order|get_delivery_date|track_package|order_lookup|get_order"),
        bars(
            "查询订单状态|查询订单|查询快递|Get order status|Get the delivery date for a customer's order|Track a package"
        ),
        (
            Argument(
                ("order_id", "id", "number", "tracking_number", "order_no"),
                bars("订单号|订单编号|The order ID|The customer's order ID.|Order number"),
                lambda v, _: v.digits(3, 9) if v.chance(0.7) else v.code() + v.digits(2, 5),
            ),
        ),
        {
            "zh": bars(
                "我的订单{0}到哪了？|查询订单{0}|订单{0}的状态|帮我查一下订单号{0}|订单 {0} 发货了吗？|查快递{0}"
            ),
            "en": bars(
                "Where is my order {0}?|Track order {0}|What is the status of order {0}?|When will order {0} arrive?|Look up order {0}|My order number is {0}, where is it?"
            ),
        },
    ),
    "music": Family(
        bars("play_music|play_song|music_player"),
        bars("播放音乐|播放歌曲|Play music|Play a song"),
        (
            Argument(
                ("song", "title", "name", "track"),
                bars("歌曲名|歌名|The song|Song title"),
                phrase,
            ),
        ),
        {
            "zh": bars("播放{0}|放一首{0}|我想听{0}|来一首《{0}》|放《{0}》"),
            "en": bars("Play {0}|Put on {0}|I want to hear {0}|Play the song {0}"),
        },
        "done",
    ),
    "user": Family(
        bars("get_user_info|lookup_user|find_contact|get_employee|query_user|get_profile"),
        bars("查询用户信息|查找联系人|查询员工资料|Look up a user|Get user profile|Find a contact by name"),
        (
            Argument(
                ("name", "username", "user", "user_name", "full_name"),
                bars("用户名|姓名|The user's name|Name"),
                person,
            ),
        ),
        {
            "zh": bars(
                "查一下{0}的信息|{0}的资料|找一下{0}的联系方式|{0}是哪个部门的？|查询用户{0}|{0}的电话是多少"
            ),
            "en": bars(
                "Look up user {0}|Find the contact of {0}|Show the profile of {0}|Who is {0} in our company?|Get info about {0}|What is the phone number of {0}?"
            ),
        },
    ),
    "map": Family(
        bars("search_restaurant|find_hotels|search_poi|nearby_search|find_places|search_hotel"),
        bars("搜索附近的地点|查找酒店和餐厅|Find places nearby|Search hotels and restaurants in a city"),
        (
            Argument(
                ("city", "location", "area", "near"),
                bars("城市|所在区域|City|Area to search"),
                place,
            ),
            Argument(
                ("keyword", "type", "category", "cuisine"),
                bars("类别|关键词|菜系|Kind of place|Category"),
                lambda v, language: (
                    v.pick(("酒店", "餐厅", "火锅", "咖啡馆", "医院", "超市", "公园", "书店"))
                    if language == "zh"
                    else v.pick(
                        (
                            "hotels",
                            "restaurants",
                            "sushi",
                            "cafes",
                            "hospitals",
                            "parks",
                            "bookstores",
                            "pizza",
                        )
                    )
                ),
            ),
        ),
        {
            "zh": bars("{0}附近的{1}|{0}有什么好的{1}|找一下{0}的{1}|推荐{0}的{1}|在{0}找{1}"),
            "en": bars("Find {1} in {0}|{1} near {0}|Are there any {1} in {0}?"),
        },
    ),
}
