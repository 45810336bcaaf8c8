/** Tasks in a real browser, with the built app and the running service. */
import { expect, type Page, test } from "@playwright/test";

const PASSWORD = "correct horse";

test("a second user of the same browser does not see the first user's tasks", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveURL("/sign-in");

  await signUp(page, "Ann");
  await add(page, "Water the tomatoes");
  await page.getByRole("button", { name: "Edit Water the tomatoes" }).click();
  await page.getByLabel("Title").fill("Water the beans");
  await page.getByLabel("Description").fill("Those on the balcony");
  await page.getByRole("button", { name: "Save" }).click();
  await waitForUpdate(page, () => task(page, "Water the beans").click());
  await page.reload();
  await expect(task(page, "Water the beans")).toBeChecked();
  await expect(page.getByText("Those on the balcony")).toBeVisible();

  await page.getByRole("button", { name: "Delete Water the beans" }).click();
  await expect(task(page, "Water the beans")).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(task(page, "Water the beans")).toBeChecked();
  await page.reload();
  await expect(page.getByText("Those on the balcony")).toBeVisible();

  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL("/sign-in");
  await signUp(page, "Bob");
  await expect(page.getByText("All clear")).toBeVisible();
  await expect(page.getByText("Water the beans")).toHaveCount(0);
});

test("the filtered list is rendered on the server", async ({ page }) => {
  await signUpByRequest(page);
  await add(page, "Book the train");
  await add(page, "Send the invoice");
  await waitForUpdate(page, () => task(page, "Send the invoice").click());

  await page.getByRole("link", { name: "done" }).click();
  await expect(task(page, "Book the train")).toHaveCount(0);
  await expect(task(page, "Send the invoice")).toBeVisible();

  // This request runs no scripts: the tasks are in the HTML.
  const open = await (await page.request.get("/?show=open")).text();
  expect(open).toContain("Book the train</span>");
  expect(open).not.toContain("Send the invoice</span>");
});

test("a task is created once if the response is lost", async ({ page }) => {
  await signUpByRequest(page);
  const keys: (string | undefined)[] = [];
  await page.route("**/api/v1/tasks", async (route, request) => {
    if (request.method() !== "POST") return route.fallback();
    keys.push(request.headers()["idempotency-key"]);
    if (keys.length > 1) return route.fallback();
    await route.fetch(); // The service creates the task.
    await route.abort("connectionreset");
  });

  await add(page, "Water the tomatoes");
  await page.reload();

  await expect(page.getByRole("checkbox")).toHaveCount(1);
  expect(keys).toHaveLength(2);
  expect(keys[1]).toBe(keys[0]);
});

const newEmail = () => `${crypto.randomUUID()}@example.com`;

/** Signs up with the form. Better Auth allows three attempts in ten seconds from one IP address. */
async function signUp(page: Page, name: string) {
  await page.goto("/sign-up");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Email").fill(newEmail());
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await expect(page.getByRole("heading", { name: "Tasks" })).toBeVisible();
}

/** Opens a new user's list. Each user has an IP address of their own, because attempts are limited. */
async function signUpByRequest(page: Page) {
  const address = Array.from({ length: 3 }, () => Math.floor(Math.random() * 256)).join(".");
  const created = await page.request.post("/api/auth/sign-up/email", {
    headers: { "X-Forwarded-For": `10.${address}` },
    data: { name: "Ann", email: newEmail(), password: PASSWORD },
  });
  await expect(created).toBeOK();
  await page.goto("/");
}

async function add(page: Page, title: string) {
  await page.getByLabel("New task").fill(title);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(task(page, title)).toBeVisible();
}

/** Waits until the service has stored the change that `action` makes. */
async function waitForUpdate(page: Page, action: () => Promise<void>) {
  const stored = page.waitForResponse((response) => response.request().method() === "PATCH");
  await action();
  await stored;
}

const task = (page: Page, title: string) => page.getByRole("checkbox", { name: title });
