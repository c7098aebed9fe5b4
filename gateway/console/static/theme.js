// Runs before the first paint, so that a page never flashes in the other theme.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.getItem("theme") ?? "system";
  const apply = () => {
    root.dataset.theme = wanted() === "system" ? (system.matches ? "dark" : "light") : wanted();
  };
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  apply();
  window.twinrunTheme = {
    name: wanted,
    next() {
      const order = ["system", "light", "dark"];
      localStorage.setItem("theme", order[(order.indexOf(wanted()) + 1) % order.length]);
      apply();
      return wanted();
    },
  };
})();
