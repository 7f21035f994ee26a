"""Words: verbs that begin a step of a plan, and what asks in other languages mean in English."""

from __future__ import annotations

ACTIONS: frozenset[str] = frozenset(
    """
    accept access achieve acquire act adapt add address adjust agree align allocate allow analyse analyze announce answer
    apply approach arrange arrive ask assemble assess assign attach attack attend avoid back bake balance begin block boil book
    break bring brush build buy calculate call capture carry catch celebrate change charge check choose clarify clean clear
    click close coat collect combine come communicate compare compile complete conduct configure confirm connect consider
    consult contact continue convert cook cool coordinate copy correct cover create cut debug decide decorate define delete
    deliver deploy design determine develop discuss distribute divide document double download draft drain draw drink drive
    drop dry eat edit educate eliminate enable encourage end engage enjoy ensure enter establish estimate evaluate examine
    execute exercise expand explain explore export extract feast fill filter finalize find finish fix fly fold follow form
    format gather generate get give go grab group grow handle have head heat hire hold identify implement import improve
    include incorporate increase inform insert inspect install integrate introduce invest investigate invite iterate join
    keep know launch lay lead learn leave let limit list listen load locate log look maintain make manage map mark measure
    meet melt merge minimize mix modify monitor mount move navigate negotiate note notice obtain offer open operate optimize
    order organise organize outline overcome pack paint park pass pay perform pick place plan plant play pour practice
    prepare present preserve press prevent prioritise prioritize process produce promote propose protect prove provide
    publish pull purchase push put raise reach read receive recommend record recruit reduce refactor refine register release
    relax remember remind remove rename repeat replace report request research reserve reset resolve respond rest restart
    retrieve return reuse review revise rinse roll run save schedule seal search season secure see seek select sell send
    separate serve set share ship shop show simmer sketch sleep slice solve sort speak specify spend split spread sprinkle
    stack start state stay stir stop store structure study submit subtract succumb summarise summarize support switch take
    talk teach tell test think toss track train transfer transform translate travel treat try turn type understand unload
    unstack update upgrade upload use utilise utilize validate verify view visit wait wake walk warm wash watch wear
    weigh wipe work wrap write
    """.split()
)

# Words of other languages that ask for something, as the English word that asks for the same.
_ASKING = {
    "write": "schreibe schreib verfasse écris écrivez rédige rédigez escribe escriba redacta escreva escreve scrivi napisz"
    " schrijf напиши напишите yaz",
    "explain": "erkläre erklär erklären explique expliquez explica explícame spiega wyjaśnij объясни объясните uitleg"
    " açıkla",
    "describe": "beschreibe décris décrivez describe descreva descrivi opisz опиши beschrijf",
    "summarize": "fasse zusammenfassung résume résumez resume resuma resumir riassumi podsumuj samenvat özetle",
    "translate": "übersetze übersetzen traduis traduisez traduce traduzca traduza traduci przetłumacz переведи vertaal"
    " çevir",
    "what": "was que quoi qué quel quelle cosa quale czym что какой wat ne",
    "why": "warum pourquoi por-qué porquê perché dlaczego почему waarom neden",
    "how": "wie comment cómo como come jak как hoe nasıl",
    "plan": "plane planen planifie planifiez planifica planeje pianifica zaplanuj план спланируй planla",
    "steps": "schritte étapes pasos passos passi passaggi kroki шаги stappen adımlar",
    "list": "liste listez lista liste enumera elenca wypisz перечисли",
    "function": "funktion fonction función função funzione funkcję funkcja функцию функция functie fonksiyon",
    "code": "quellcode codice código kod код",
    "program": "programm programme programa programma programuj программу",
    "implement": "implementiere implementa implémente implementar zaimplementuj реализуй",
    "create": "erstelle crée créez crea cree crie utwórz stwórz создай maak oluştur",
    "search": "suche cherche recherche busca busque cerca wyszukaj найди zoek ara",
    "show": "zeige zeig montre muestra mostra pokaż покажи toon göster",
    "send": "sende schicke envoie envía envie invia wyślij отправь stuur gönder",
    "book": "buche réserve reserva reserve prenota zarezerwuj забронируй boek",
    "weather": "wetter météo tiempo clima meteo pogoda погода weer hava",
    "email": "e-mail mail courriel correo posta wiadomość письмо",
    "story": "geschichte histoire cuento historia storia historię история рассказ verhaal hikaye",
}
IN_ENGLISH: dict[str, str] = {foreign: word for word, others in _ASKING.items() for foreign in others.split()}

# The same for writing without spaces: parts of it, and the English word.
SCRIPTS: dict[str, str] = {
    "写": "write", "寫": "write", "書い": "write", "작성": "write", "解释": "explain", "解釋": "explain", "説明": "explain",
    "설명": "explain", "总结": "summarize", "總結": "summarize", "要約": "summarize", "요약": "summarize", "翻译": "translate",
    "翻譯": "translate", "翻訳": "translate", "번역": "translate", "计划": "plan", "計劃": "plan", "計画": "plan", "계획": "plan",
    "步骤": "steps", "步驟": "steps", "手順": "steps", "단계": "steps", "代码": "code", "代碼": "code", "コード": "code",
    "코드": "code", "函数": "function", "関数": "function", "함수": "function", "程序": "program", "查询": "search",
    "搜索": "search", "検索": "search", "검색": "search", "天气": "weather", "天気": "weather", "날씨": "weather",
    "什么": "what", "何": "what", "무엇": "what", "为什么": "why", "如何": "how", "怎么": "how",
}  # fmt: skip

# What the words of an ask come to.
LEXICONS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "making": "write make create generate build implement draft compose produce give prepare design develop code"
        " complete finish add fix refactor port convert rewrite optimize outline propose devise sketch break list plan",
        "code": "function class method script code program test tests unit query sql snippet component endpoint module"
        " dockerfile parser regex algorithm decorator migration makefile cli api patch diff def import return bug app",
        "a language": "python javascript typescript java rust golang sql bash shell html css react kotlin ruby php swift"
        " scala perl haskell matlab powershell",
        "text": "email letter story poem essay paragraph paragraphs article message blog post summary report note reply"
        " sentence sentences announcement review words caption tweet speech dialogue song",
        "steps": "plan roadmap outline checklist agenda schedule itinerary steps step milestones tutorial recipe instructions"
        " procedure subtasks",
        "telling": "explain describe summarize summarise tell what why who compare translate rephrase paraphrase discuss"
        " introduce elaborate difference meaning",
        "doing": "weather search find look book send get fetch check call run open read delete update remind calculate"
        " order cancel set play show tool tools use retrieve lookup",
        "JSON": "json schema object array",
        "thanks": "thanks thank great perfect bye hello hi",
        "consent": "yes confirm proceed sure ok okay please",
    }.items()
}

# Whose instructions the words of a system prompt are.
SPEAKERS: dict[str, frozenset[str]] = {
    "planner": frozenset("planner planning plan decompose decomposes subtasks".split()),
    "programmer": frozenset("software python coding programmer programming backend frontend developer".split()),
    "writer": frozenset("friendly support writer writing editor copywriter translator".split()),
}
